"""Each network of the PyTorch reference, its output repeated in float32."""

import numpy as np

from cyclegan.interop.reference_names import describe_discriminator, describe_generator
from cyclegan.interop.reference_weights import set_reference_weights
from cyclegan.networks.discriminators import build_discriminator
from cyclegan.networks.generators import build_generator


def test_output_is_that_of_the_reference(network, figure):
    with np.load(network) as file:
        arrays = dict(file)
    if description := describe_discriminator(arrays):
        config, channels = description
        model = build_discriminator(config, channels)
    else:
        config, *channels = describe_generator(arrays, network.name)
        model = build_generator(config, *channels)
    set_reference_weights(model, arrays, config, network.name)
    with np.load(network.with_name(network.name.replace(".weights", ""))) as golden:
        x, y = golden["x"], golden["y"]
        assert model(x).shape == y.shape
        figure(f"output {' x '.join(map(str, x.shape))}, float32", np.abs(model(x).numpy() - y).max(), limit=2e-5)
