"""Each block against a NumPy computation that shares nothing with Keras."""

import keras
import numpy as np
import pytest

from cyclegan.networks import blocks

RNG = np.random.default_rng(0)


def run(block, x, **arguments):
    """Output of a block built for one input, and the model that holds its weights."""
    image = keras.Input((None, None, x.shape[-1]), dtype="float64")
    model = keras.Model(image, block(image, **arguments))
    for variable in model.weights:
        variable.assign(RNG.normal(size=variable.shape))
    return model(x).numpy(), [variable.numpy() for variable in model.weights]


def test_reflect_pad_mirrors_without_repeating_the_border():
    row = np.array([1.0, 2, 3, 4]).reshape(1, 1, 4, 1)
    padded, _ = run(blocks.reflect_pad, np.repeat(row, 4, axis=1), size=2)
    assert padded[0, 0, :, 0].tolist() == [3, 2, 1, 2, 3, 4, 3, 2]


def test_instance_norm_normalises_each_image_and_channel_alone():
    x = RNG.normal(3, 2, (2, 5, 4, 3))
    y, weights = run(blocks.instance_norm, x, name="norm", dtype="float64")
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-5), atol=1e-12)
    assert not weights


def test_leaky_relu_has_slope_02():
    y, _ = run(blocks.leaky_relu, np.array([-1.0, 2.0]).reshape(1, 1, 2, 1))
    np.testing.assert_allclose(y.ravel(), [-0.2, 2.0])


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_equals_the_sum_over_windows(stride):
    x = RNG.normal(size=(1, 6, 7, 2))
    y, (kernel, bias) = run(blocks.convolution, x, filters=3, kernel_size=3, stride=stride, name="c", dtype="float64")
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            window = x[0, i * stride : i * stride + 3, j * stride : j * stride + 3]
            np.testing.assert_allclose(y[0, i, j], np.einsum("hwc,hwcf->f", window, kernel) + bias, atol=1e-10)


def test_upsampling_convolution_scatters_each_pixel_and_drops_the_first_row_and_column():
    x = RNG.normal(size=(1, 3, 4, 2))
    y, (kernel, bias) = run(blocks.upsampling_convolution, x, filters=3, name="u", dtype="float64")
    full = np.zeros((7, 9, 3))
    for i in range(3):
        for j in range(4):
            full[2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += np.einsum("c,hwfc->hwf", x[0, i, j], kernel)
    assert y.shape == (1, 6, 8, 3)
    np.testing.assert_allclose(y[0], full[1:, 1:] + bias, atol=1e-10)
