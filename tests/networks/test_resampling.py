"""Compares each layer that halves or doubles the size with a computation in NumPy that does not use Keras."""

import numpy as np
import pytest

from cyclegan.config.networks import GeneratorConfig
from cyclegan.networks import resampling

RNG = np.random.default_rng(0)


def test_the_tables_have_the_values_that_the_configuration_allows(allowed):
    assert set(resampling.UPSAMPLINGS) == allowed(GeneratorConfig, "upsampling")
    assert {"strided", *resampling.POOLINGS} == allowed(GeneratorConfig, "downsampling")


@pytest.mark.parametrize("kernel_size", [3, 4])
def test_strided_convolution_is_padded_with_a_zero_on_every_side(run, style, windows, kernel_size):
    x = RNG.normal(size=(1, 6, 8, 2))
    y, weights = run(resampling.halving_convolution, x, 3, kernel_size, style(padding="reflect"), name="c")
    assert y.shape == (1, 3, 4, 3)
    for i, j, window in windows(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), kernel_size, 2):
        expected = np.einsum("bhwc,hwcf->bf", window, weights["kernel"]) + weights["bias"]
        np.testing.assert_allclose(y[:, i, j], expected, atol=1e-10)


@pytest.mark.parametrize("name", resampling.POOLINGS)
def test_with_a_pooling_the_convolution_keeps_the_size_and_the_pooling_halves_it(run, style, name):
    x = RNG.normal(size=(1, 6, 8, 2))
    y, weights = run(resampling.halving_convolution, x, 3, 4, style(downsampling=name), name="c")
    assert y.shape == (1, 6, 8, 3) and weights["kernel"].shape == (3, 3, 2, 3)
    assert run(resampling.pool, x, style(downsampling=name), name="p")[0].shape == (1, 3, 4, 2)


def test_after_a_strided_convolution_there_is_no_pooling(run, style):
    x = RNG.normal(size=(1, 6, 8, 2))
    np.testing.assert_array_equal(run(resampling.pool, x, style(), name="p")[0], x)


@pytest.mark.parametrize("name,reduce", [("max", np.max), ("average", np.mean)])
def test_max_and_average_pooling_of_2x2_pixels(run, style, windows, name, reduce):
    x = RNG.normal(size=(2, 4, 6, 3))
    y, _ = run(resampling.pool, x, style(downsampling=name), name="p")
    for i, j, window in windows(x, 2, 2):
        np.testing.assert_allclose(y[:, i, j], reduce(window, axis=(1, 2)))


@pytest.mark.parametrize("kernel_size", [3, 4])
def test_transposed_convolution_scatters_each_pixel_and_is_cropped_to_twice_the_size(run, style, kernel_size):
    x = RNG.normal(size=(1, 3, 4, 2))
    y, weights = run(resampling.UPSAMPLINGS["transposed"], x, 3, kernel_size, style(), True, "u")
    full = np.zeros((8, 10, 3))
    for i in range(3):
        for j in range(4):
            spread = np.einsum("c,hwfc->hwf", x[0, i, j], weights["kernel"])
            full[2 * i : 2 * i + kernel_size, 2 * j : 2 * j + kernel_size] += spread
    assert y.shape == (1, 6, 8, 3)
    np.testing.assert_allclose(y[0], full[1:7, 1:9] + weights["bias"], atol=1e-10)


def bilinear(x):
    """Doubles the size. A new pixel is 3/4 of the nearest old pixel and 1/4 of the next one, in both directions."""
    for axis in (1, 2):
        before = np.concatenate([x.take([0], axis), x.take(range(x.shape[axis] - 1), axis)], axis)
        after = np.concatenate([x.take(range(1, x.shape[axis]), axis), x.take([-1], axis)], axis)
        pair = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = pair.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    return x


@pytest.mark.parametrize(
    "name,resize", [("nearest", lambda x: x.repeat(2, axis=1).repeat(2, axis=2)), ("bilinear", bilinear)]
)
def test_resize_convolution(run, style, same_convolution, name, resize):
    x = RNG.normal(size=(1, 3, 4, 2))
    y, weights = run(resampling.UPSAMPLINGS[name], x, 3, 4, style(), True, "u")
    np.testing.assert_allclose(y, same_convolution(resize(x), weights), atol=1e-6)


def test_subpixel_convolution_turns_four_channels_into_two_by_two_pixels(run, style, same_convolution):
    x = RNG.normal(size=(1, 3, 4, 2))
    y, weights = run(resampling.UPSAMPLINGS["subpixel"], x, 3, 4, style(), True, "u")
    narrow = same_convolution(x, weights)  # [1, 3, 4, 12]
    assert y.shape == (1, 6, 8, 3)
    for row in (0, 1):
        for column in (0, 1):
            first = 3 * (2 * row + column)
            np.testing.assert_allclose(y[:, row::2, column::2], narrow[..., first : first + 3], atol=1e-10)
