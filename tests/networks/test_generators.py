import keras
import numpy as np
import pytest

from cyclegan.config import GeneratorConfig
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


def test_the_same_seed_draws_the_same_weights_and_no_two_layers_share_them():
    def weights():
        keras.utils.set_random_seed(7)
        return build_generator(GeneratorConfig(filters=4, num_blocks=2)).get_weights()

    first, second = weights(), weights()
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    kernels = [w for w in first if w.shape == (3, 3, 16, 16)]
    assert len(kernels) == 4
    assert not np.array_equal(kernels[0], kernels[1])


def test_kernels_are_drawn_from_normal_0_002_and_biases_are_zero():
    keras.utils.set_random_seed(0)
    model = build_generator(GeneratorConfig(filters=32, num_blocks=2))
    kernel = model.get_layer("residual_1_conv_1").kernel.numpy()  # 147,456 numbers
    assert abs(kernel.mean()) < 5 * 0.02 / kernel.size**0.5
    assert abs(kernel.std() / 0.02 - 1) < 0.02
    assert not model.get_layer("residual_1_conv_1").bias.numpy().any()
