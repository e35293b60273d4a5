"""Compares each block with a computation in NumPy that does not use Keras."""

import math

import keras
import numpy as np
import pytest

from cyclegan.config.networks import DiscriminatorConfig, GeneratorConfig
from cyclegan.networks import blocks

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "key,table",
    [
        ("normalization", blocks.NORMALIZATIONS),
        ("activation", blocks.ACTIVATIONS),
        ("initializer", blocks.INITIALIZERS),
        ("padding", blocks.PADDINGS),
    ],
)
def test_a_table_has_the_values_that_the_configuration_allows(allowed, key, table):
    assert set(table) == allowed(GeneratorConfig, key)


@pytest.mark.parametrize(
    "mode,expected",
    [
        ("reflect", [3, 2, 1, 2, 3, 4, 3, 2]),
        ("replicate", [1, 1, 1, 2, 3, 4, 4, 4]),
        ("zero", [0, 0, 1, 2, 3, 4, 0, 0]),
    ],
)
def test_padding_of_rows_and_columns(run, mode, expected):
    x = np.array([1.0, 2, 3, 4]).reshape(1, 1, 4, 1) * np.ones((1, 4, 1, 1))
    padded, _ = run(lambda image: blocks.PADDINGS[mode](image, 2), x)
    assert padded[0, 3, :, 0].tolist() == expected
    turned, _ = run(lambda image: blocks.PADDINGS[mode](image, 2), x.transpose(0, 2, 1, 3))
    assert turned[0, :, 3, 0].tolist() == expected


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(
    "name,groups,axes",
    [("instance", 64, (1, 2, 4)), ("group", 32, (1, 2, 4)), ("layer", 1, (1, 2, 4)), ("batch", 64, (0, 1, 2, 4))],
)
def test_normalization_over_its_axes(run, style, name, groups, axes, affine):
    x = RNG.normal(3, 2, (2, 5, 4, 64))
    y, weights = run(blocks.normalization, x, style(normalization=name, affine=affine), name="norm", training=True)
    grouped = x.reshape(2, 5, 4, groups, 64 // groups)
    mean, variance = grouped.mean(axes, keepdims=True), grouped.var(axes, keepdims=True)
    expected = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
    if affine:
        expected = expected * weights["gamma"] + weights["beta"]
    np.testing.assert_allclose(y, expected, atol=1e-9)
    assert ("gamma" in weights) == affine


def test_the_normalization_none_changes_nothing(run, style):
    x = RNG.normal(size=(1, 3, 3, 2))
    np.testing.assert_array_equal(run(blocks.normalization, x, style(normalization="none"), name="n")[0], x)


def test_instance_norm_has_no_weights_by_default(run, style):
    assert not run(blocks.normalization, np.zeros((1, 3, 3, 2)), style(), name="n")[1]


def test_batch_norm_uses_its_moving_averages_after_training(style):
    x = RNG.normal(size=(2, 3, 3, 2))
    image = keras.Input((None, None, 2), dtype="float64")
    model = keras.Model(image, blocks.normalization(image, style(normalization="batch", affine=False), name="n"))
    mean, variance = (variable.numpy() for variable in model.weights)
    model(x, training=True)
    mean, variance = 0.9 * mean + 0.1 * x.mean((0, 1, 2)), 0.9 * variance + 0.1 * x.var((0, 1, 2))
    np.testing.assert_allclose(model(x), (x - mean) / np.sqrt(variance + 1e-5), atol=1e-6)


def test_scales_are_drawn_around_one_and_offsets_start_at_zero():
    model_input = keras.Input((None, None, 5000))
    output = blocks.normalization(model_input, blocks.style_of(GeneratorConfig(affine=True), "float32"), name="n")
    gamma, beta = keras.Model(model_input, output).get_weights()
    assert abs(gamma.mean() - 1) < 0.002 and abs(gamma.std() - 0.02) < 0.002
    assert not beta.any()


ACTIVATIONS = {
    "relu": lambda x: max(x, 0),
    "leaky_relu": lambda x: max(x, 0.2 * x),
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
}


@pytest.mark.parametrize("name", blocks.ACTIVATIONS)
def test_activation(run, name):
    x = np.linspace(-3, 3, 13).reshape(1, 13, 1, 1)
    y, weights = run(lambda image: blocks.ACTIVATIONS[name](image, name="a", dtype="float64"), x)
    formula = ACTIVATIONS.get(name, lambda x: x if x > 0 else float(weights["alpha"][0, 0, 0]) * x)
    np.testing.assert_allclose(y.ravel(), [formula(value) for value in x.ravel()], atol=1e-7)


def test_prelu_starts_with_a_slope_of_a_quarter_for_each_channel():
    image = keras.Input((None, None, 3))
    (alpha,) = keras.Model(image, blocks.ACTIVATIONS["prelu"](image, name="a", dtype="float32")).get_weights()
    assert alpha.ravel().tolist() == [0.25, 0.25, 0.25]


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_equals_the_sum_over_windows(run, style, windows, stride):
    x = RNG.normal(size=(1, 6, 7, 2))
    y, weights = run(blocks.convolution, x, 3, 3, style(), stride=stride, name="c")
    for i, j, window in windows(x, 3, stride):
        expected = np.einsum("bhwc,hwcf->bf", window, weights["kernel"]) + weights["bias"]
        np.testing.assert_allclose(y[:, i, j], expected, atol=1e-10)


def test_only_before_batch_norm_convolutions_have_no_bias(style):
    has_bias = {name: blocks.has_bias(style(normalization=name)) for name in blocks.NORMALIZATIONS}
    assert has_bias == {"instance": True, "batch": False, "group": True, "layer": True, "none": True}


def test_a_convolution_without_bias_has_only_a_kernel(run, style):
    _, weights = run(blocks.same_convolution, np.zeros((1, 4, 4, 2)), 3, 3, style(), bias=False, name="c")
    assert set(weights) == {"kernel"}


def test_residual_block_adds_what_two_normalized_convolutions_make(style, same_convolution):
    x = RNG.normal(size=(1, 5, 6, 2))
    image = keras.Input((None, None, 2), dtype="float64")
    model = keras.Model(image, blocks.residual_block(image, style(), "relu", name="r"))
    for variable in model.weights:
        variable.assign(RNG.normal(size=variable.shape))

    def layer(x, name):
        conv = model.get_layer(name)
        y = same_convolution(x, {"kernel": conv.kernel.numpy(), "bias": conv.bias.numpy()})
        return (y - y.mean((1, 2), keepdims=True)) / np.sqrt(y.var((1, 2), keepdims=True) + 1e-5)

    expected = x + layer(np.maximum(layer(x, "r_conv_1"), 0), "r_conv_2")
    np.testing.assert_allclose(model(x), expected, atol=1e-9)


def test_dropout_zeroes_its_share_in_training_and_nothing_after(run, style):
    x = np.ones((1, 100, 100, 1))
    y, _ = run(blocks.dropout, x, style(dropout=0.25), name="d", training=True)
    assert abs((y == 0).mean() - 0.25) < 0.03  # seven standard deviations
    np.testing.assert_allclose(y[y != 0], 1 / 0.75)
    np.testing.assert_array_equal(run(blocks.dropout, x, style(dropout=0.25), name="d")[0], x)


@pytest.mark.parametrize(
    "name,gain,deviation",
    [
        ("normal", None, 0.02),
        ("normal", 0.1, 0.1),
        ("glorot", None, math.sqrt(2 / (9 * 64 + 9 * 128))),
        ("glorot", 0.5, 0.5 * math.sqrt(2 / (9 * 64 + 9 * 128))),
        ("he", None, math.sqrt(2 / (9 * 64))),
        ("orthogonal", None, math.sqrt(1 / (9 * 64))),
        ("orthogonal", 3.0, 3 * math.sqrt(1 / (9 * 64))),
    ],
)
def test_initializers_have_their_deviation(style, name, gain, deviation):
    keras.utils.set_random_seed(0)
    kernel = np.array(style(initializer=name, initializer_gain=gain).initializer()((3, 3, 64, 128)))  # 73,728 numbers
    assert abs(kernel.mean()) < 5 * deviation / kernel.size**0.5
    assert kernel.std() == pytest.approx(deviation, rel=0.02)


@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_columns_of_an_orthogonal_kernel_are_orthogonal(style, gain):
    kernel = style(initializer="orthogonal", initializer_gain=gain).initializer()((3, 3, 64, 128))
    matrix = np.array(kernel).reshape(-1, 128)
    np.testing.assert_allclose(matrix.T @ matrix, gain**2 * np.eye(128), atol=1e-4)


@pytest.mark.parametrize(
    "section,affine",
    [
        (GeneratorConfig(), False),
        (GeneratorConfig(normalization="batch"), True),
        (DiscriminatorConfig(normalization="group", affine=False), False),
    ],
)
def test_without_a_value_only_instance_norm_has_no_scale(section, affine):
    assert blocks.style_of(section, "float32").affine is affine
