from typing import get_args

import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config.sections import LossesConfig
from cyclegan.losses import (
    ADVERSARIAL,
    cycle_loss,
    identity_loss,
    image_means,
    r1_penalty,
    weight_penalty,
    wgan_penalty,
)

SCORES = np.array([-2.0, -0.5, 0.0, 0.5, 1.0, 3.0])


def log_sigmoid(x):
    return -np.log(1 + np.exp(-x))


# The loss of a discriminator for real images with target 1, with target 0.9, and for translated images; the loss of a
# generator. Each has one value per score.
EXPECTED = {
    "lsgan": ((SCORES - 1) ** 2, (SCORES - 0.9) ** 2, SCORES**2, (SCORES - 1) ** 2),
    "vanilla": (
        -log_sigmoid(SCORES),
        -(0.9 * log_sigmoid(SCORES) + 0.1 * log_sigmoid(-SCORES)),
        -log_sigmoid(-SCORES),
        -log_sigmoid(SCORES),
    ),
    "hinge": ([3, 1.5, 1, 0.5, 0, 0], [3, 1.5, 1, 0.5, 0, 0], [0, 0.5, 1, 1.5, 2, 4], -SCORES),
    "wgan_gp": (-SCORES, -SCORES, SCORES, -SCORES),
}


def test_the_table_has_the_forms_that_the_configuration_allows():
    assert set(ADVERSARIAL) == set(get_args(LossesConfig.model_fields["adversarial"].annotation))


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_losses_are_those_of_the_papers(name):
    loss, scores = ADVERSARIAL[name], tf.constant(SCORES)
    received = loss.real(scores, 1.0), loss.real(scores, 0.9), loss.fake(scores), loss.generator(scores)
    for one, other in zip(received, EXPECTED[name], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_the_score_of_an_image_is_the_mean_of_the_means_of_its_maps():
    maps = [tf.constant([1.0, 2, 3, 6, 0, 0, 0, 4], shape=[2, 2, 2, 1]), tf.constant([10.0, 20], shape=[2, 1, 1, 1])]
    np.testing.assert_allclose(image_means(maps[:1]), [3, 1])
    np.testing.assert_allclose(image_means(maps), [(3 + 10) / 2, (1 + 20) / 2])


def quadratic(images):
    """Two score maps, sum(x^2) / 2 and x itself. The gradient of the mean of their means is (x + 1/n) / 2."""
    return [tf.reduce_sum(images**2, axis=[1, 2, 3], keepdims=True) / 2, images]


def gradient_of_quadratic(images):
    return (images + 1 / images[0].size) / 2


def test_r1_is_half_the_squared_gradient_of_the_mean_score_of_real_images():
    images = np.random.default_rng(0).normal(size=(3, 2, 2, 1))
    expected = (gradient_of_quadratic(images) ** 2).sum(axis=(1, 2, 3)) / 2
    np.testing.assert_allclose(r1_penalty(quadratic, tf.constant(images)), expected, rtol=1e-12)


def test_wgan_penalty_holds_the_gradient_to_1_between_a_real_image_and_a_fake():
    seen = []

    def scores(images):
        seen.append(images.numpy())
        return quadratic(images)

    real, fake = np.random.default_rng(0).normal(size=(2, 5, 2, 2, 1))
    penalty = wgan_penalty(scores, tf.constant(real), tf.constant(fake), tf.constant([1, 2])).numpy()
    share = (seen[0] - real) / (fake - real)  # the same for all pixels of an image, but different for each image
    np.testing.assert_allclose(share, np.broadcast_to(share[:, :1, :1], share.shape), rtol=1e-9)
    assert len(set(share[:, 0, 0, 0].round(9))) == 5
    assert ((share >= 0) & (share < 1)).all()
    lengths = np.sqrt((gradient_of_quadratic(seen[0]) ** 2).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(penalty, (lengths - 1) ** 2, rtol=1e-9)


def test_wgan_penalty_is_finite_where_the_gradient_is_zero():
    variable = tf.Variable(0.0)
    with tf.GradientTape() as tape:
        images = tf.ones([1, 2, 2, 1])
        loss = wgan_penalty(lambda x: [variable * x], images, images, tf.constant([1, 2]))
    assert np.isfinite(tape.gradient(loss, variable))


def test_weight_penalty_sums_absolute_values_and_squares():
    kernels = [tf.constant([1.0, -2.0]), tf.constant([[3.0]])]
    assert float(weight_penalty(kernels, l1=0.5, l2=0.1)) == pytest.approx(0.5 * 6 + 0.1 * 14)


@pytest.mark.parametrize("loss", [cycle_loss, identity_loss])
def test_reconstruction_losses_are_mean_absolute_errors_for_each_image(loss):
    real = tf.constant([[[[0.0, 0.5]]], [[[1.0, -1.0]]]])  # [2, 1, 1, 2]
    other = tf.constant([[[[0.5, 0.5]]], [[[-1.0, -1.0]]]])
    np.testing.assert_allclose(loss(real, other), [0.25, 1.0])


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="must have the same shape. Received: "):
        cycle_loss(tf.zeros([1, 2, 2, 3]), tf.zeros([1, 2, 2, 1]))
