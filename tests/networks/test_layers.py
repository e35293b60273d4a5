import keras
import numpy as np
import pytest
import tensorflow as tf

from cyclegan.networks.layers import BilinearUpsampling, BlurPooling, SpectralConv2D, StochasticPooling

RNG = np.random.default_rng(0)


@pytest.fixture
def layer():
    keras.utils.set_random_seed(0)
    layer = SpectralConv2D(5, 3, name="c", dtype="float64")
    layer.build((None, None, None, 2))
    return layer


def converge(layer, x):
    """The output of the last of 200 calls in training. One graph is much faster than so many calls from Python."""
    call = tf.function(lambda: layer(x, training=True), autograph=False)
    for _ in range(199):
        call()
    return call()


def test_spectral_convolution_divides_its_kernel_by_the_largest_singular_value(layer):
    x, kernel = RNG.normal(size=(1, 6, 6, 2)), layer.kernel.numpy()
    y = converge(layer, x)
    np.testing.assert_array_equal(layer.kernel.numpy(), kernel)
    largest = np.linalg.svd(kernel.reshape(-1, 5), compute_uv=False)[0]
    np.testing.assert_allclose(y, keras.ops.conv(x, kernel / largest), atol=1e-9)
    np.testing.assert_allclose(layer(x), y, atol=1e-12)


def test_only_a_call_in_training_is_a_power_iteration(layer):
    x = RNG.normal(size=(1, 6, 6, 2))
    matrix, vector = layer.kernel.numpy().reshape(-1, 5), layer.vector.numpy()
    layer(x)
    np.testing.assert_array_equal(layer.vector.numpy(), vector)
    layer(x, training=True)
    expected = (matrix @ vector) @ matrix
    np.testing.assert_allclose(layer.vector.numpy(), expected / np.linalg.norm(expected), atol=1e-12)


def test_the_gradient_goes_through_the_singular_value(layer):
    """A multiple of the kernel gives the same convolution, so the gradient along the kernel itself is zero."""
    x = RNG.normal(size=(1, 6, 6, 2))
    converge(layer, x)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 3)
    gradient = tape.gradient(loss, layer.kernel.value).numpy()
    assert abs((gradient * layer.kernel.numpy()).sum()) < 1e-6 * np.abs(gradient * layer.kernel.numpy()).sum()


def test_stochastic_pooling_draws_each_value_as_often_as_its_share():
    x = np.tile(np.array([[1.0, 0.0], [2.0, 5.0]])[None, :, :, None], (1, 100, 100, 1))
    keras.utils.set_random_seed(0)
    drawn = np.array(StochasticPooling()(x, training=True)).ravel()
    for value, share in ((0, 0), (1, 1 / 8), (2, 2 / 8), (5, 5 / 8)):
        assert abs((drawn == value).mean() - share) < 5 * 0.5 / 50  # at most five standard deviations of 2500 draws


def test_stochastic_pooling_after_training_weighs_each_value_by_its_share():
    x = np.array([[1.0, 0.0, -1.0, -3.0], [2.0, 5.0, 3.0, -2.0]])[None, :, :, None]
    expected = [(1 + 4 + 25) / 8, 3.0]  # negative values have no share
    np.testing.assert_allclose(np.array(StochasticPooling()(x)).ravel(), expected)


def test_stochastic_pooling_draws_each_value_equally_often_if_none_is_positive():
    x = np.tile(np.array([[-1.0, -2.0], [-3.0, 0.0]])[None, :, :, None], (1, 50, 50, 1))
    np.testing.assert_allclose(np.array(StochasticPooling()(x)), -1.5)
    drawn = np.array(StochasticPooling()(x, training=True))
    assert set(np.unique(drawn)) == {-3, -2, -1, 0}


def test_stochastic_pooling_drops_an_odd_row_and_passes_gradients_to_drawn_values():
    x = tf.constant(RNG.uniform(1, 2, (1, 5, 4, 3)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = StochasticPooling(dtype="float64")(x, training=True)
    assert y.shape == (1, 2, 2, 3)
    gradient = tape.gradient(y, x).numpy()
    assert set(np.unique(gradient)) == {0.0, 1.0} and gradient.sum() == 12


def test_blur_pooling_is_every_second_pixel_of_the_blurred_image():
    x = RNG.normal(size=(1, 5, 6, 2))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    blurred = sum(
        weight * padded[:, i : i + 5, j : j + 6]
        for (i, j), weight in np.ndenumerate(np.outer([1, 2, 1], [1, 2, 1]) / 16)
    )
    np.testing.assert_allclose(BlurPooling(dtype="float64")(x), blurred[:, ::2, ::2], atol=1e-12)


def test_bilinear_upsampling_mixes_neighbours_three_to_one_at_any_size():
    row = np.array([0.0, 4.0, 8.0])
    layer = BilinearUpsampling(dtype="float64")
    any_size = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 1], tf.float64)])
    upsampled = any_size(np.stack([row, row + 40])[np.newaxis, :, :, np.newaxis])[0, :, :, 0]
    expected = np.array([0, 1, 3, 5, 7, 8])
    assert np.array_equal(upsampled, [expected, expected + 10, expected + 30, expected + 40])
