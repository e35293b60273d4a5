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


@pytest.mark.parametrize("shortcut", ["none", "image", "blurred"])
def test_only_with_a_shortcut_does_a_resnet_see_brightness_and_contrast(shortcut):
    """The first norm of each image and channel makes w * (0.5 x + 0.2) + b what it makes w * x + b."""
    keras.utils.set_random_seed(0)
    model = build_generator(GeneratorConfig(filters=4, num_blocks=1, shortcut=shortcut))
    image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 3)).astype("float32")
    change = np.abs(model(0.5 * image + 0.2) - model(image)).max()
    assert (change < 1e-4) if shortcut == "none" else (change > 0.01)


def test_the_image_is_seen_by_the_last_convolution_after_the_features():
    keras.utils.set_random_seed(0)
    model = build_generator(GeneratorConfig(filters=4, num_blocks=1, shortcut="image"), 2, 3)
    last = model.get_layer("last_conv")
    assert last.kernel.shape == (7, 7, 4 + 2, 3)
    kernel = np.zeros((7, 7, 6, 3), "float32")
    kernel[3, 3, 4, 0] = kernel[3, 3, 5, 1] = kernel[2, 3, 4, 2] = 1
    last.kernel.assign(kernel)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 2)).astype("float32")
    above = image[:, [1, *range(15)]][..., 0]  # the padding reflects
    expected = np.tanh(np.stack([image[..., 0], image[..., 1], above], axis=-1))
    np.testing.assert_allclose(model(image), expected, atol=1e-6)


def test_the_blurred_image_is_the_mean_over_17_pixels_and_leaves_the_border_out():
    keras.utils.set_random_seed(0)
    model = build_generator(GeneratorConfig(filters=4, num_blocks=1, shortcut="blurred"), 1, 1)
    kernel = np.zeros((7, 7, 5, 1), "float32")
    kernel[3, 3, 4, 0] = 1
    model.get_layer("last_conv").kernel.assign(kernel)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 24, 1)).astype("float32")
    made = np.arctanh(model(image).numpy()[0, ..., 0])
    for row, column in ((0, 0), (9, 3), (16, 12), (31, 23)):
        around = image[0, max(0, row - 8) : row + 9, max(0, column - 8) : column + 9, 0]
        assert made[row, column] == pytest.approx(around.mean(), abs=1e-5)
