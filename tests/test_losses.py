import numpy as np
import pytest
import tensorflow as tf

from cyclegan.losses import cycle_loss, identity_loss, lsgan_loss


def test_lsgan_is_the_mean_squared_distance_to_the_target_for_each_image():
    scores = tf.constant([[[[0.0], [1.0]]], [[[0.5], [2.0]]]])  # [2, 1, 2, 1]
    np.testing.assert_allclose(lsgan_loss(scores, 1.0), [0.5, (0.25 + 1) / 2])
    np.testing.assert_allclose(lsgan_loss(scores, 0.0), [0.5, (0.25 + 4) / 2])


@pytest.mark.parametrize("loss", [cycle_loss, identity_loss])
def test_reconstruction_losses_are_mean_absolute_errors_for_each_image(loss):
    real = tf.constant([[[[0.0, 0.5]]], [[[1.0, -1.0]]]])  # [2, 1, 1, 2]
    other = tf.constant([[[[0.5, 0.5]]], [[[-1.0, -1.0]]]])
    np.testing.assert_allclose(loss(real, other), [0.25, 1.0])


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="incompatible"):
        cycle_loss(tf.zeros([1, 2, 2, 3]), tf.zeros([1, 2, 2, 1]))
