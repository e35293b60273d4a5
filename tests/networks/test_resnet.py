import keras
import numpy as np
import pytest

from cyclegan.config.networks import GeneratorConfig
from cyclegan.networks.generators import build_generator


def test_reference_generator_has_11378179_parameters():
    assert build_generator(GeneratorConfig(filters=64, num_blocks=9)).count_params() == 11_378_179


@pytest.mark.parametrize("height,width", [(8, 8), (32, 48)])
def test_output_has_the_size_of_the_input_and_stays_in_range(height, width):
    keras.utils.set_random_seed(0)
    model = build_generator(GeneratorConfig(filters=4, num_blocks=1), channels_in=1, channels_out=4)
    image = np.random.default_rng(0).uniform(-1, 1, (2, height, width, 1)).astype("float32")
    output = model(image).numpy()
    assert output.shape == (2, height, width, 4)
    assert np.abs(output).max() <= 1
