"""The losses of CycleGAN: pure functions, one value per image, unweighted.

One value per image, not one per batch, lets the training step divide by the global batch size whatever
the number of replicas.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf


class AdversarialLoss(NamedTuple):
    """One form of the adversarial loss: three functions of scores, element by element.

    `real` and `fake` are what the discriminators minimise for the two kinds of images, `generator` is what the
    generators minimise for the scores of their fakes. `real` takes the target for real scores too, which is 1 without
    label smoothing (one-sided, Salimans et al. 2016, section 3.4).
    """

    real: Callable[[tf.Tensor, float], tf.Tensor]
    fake: Callable[[tf.Tensor], tf.Tensor]
    generator: Callable[[tf.Tensor], tf.Tensor]


ADVERSARIAL = {
    # Mao et al. 2017, eq. 2, with target 1 for "real" and 0 for "fake".
    "lsgan": AdversarialLoss(
        real=lambda scores, target: tf.square(scores - target),
        fake=tf.square,
        generator=lambda scores: tf.square(scores - 1.0),
    ),
    # Goodfellow et al. 2014, eq. 1, scores are logits; the generators' form is that of section 3, which saturates less.
    "vanilla": AdversarialLoss(
        real=lambda scores, target: tf.nn.softplus(scores) - target * scores,
        fake=tf.nn.softplus,
        generator=lambda scores: tf.nn.softplus(-scores),
    ),
    # Miyato et al. 2018, eq. 16 and 17 (after Lim and Ye 2017).
    "hinge": AdversarialLoss(
        real=lambda scores, target: tf.nn.relu(1.0 - scores),
        fake=lambda scores: tf.nn.relu(1.0 + scores),
        generator=lambda scores: -scores,
    ),
    # Gulrajani et al. 2017, eq. 3, whose last term is `wgan_penalty`.
    "wgan_gp": AdversarialLoss(
        real=lambda scores, target: -scores,
        fake=lambda scores: scores,
        generator=lambda scores: -scores,
    ),
}
"""The forms that `losses.adversarial` names."""

WGAN_PENALTY_WEIGHT = 10.0
"""Weight of `wgan_penalty` (Gulrajani et al. 2017, section 4)."""

WGAN_INTERPOLATION_STEPS = 1 << 16
"""Places between a real image and a fake at which `wgan_penalty` may look."""


def image_means(maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """One number for each image: the mean over each map, then over the maps.

    Args:
        maps: one for each scale of a discriminator, [batch, h, w, 1] each.

    Returns:
        [batch].
    """
    means = [tf.reduce_mean(values, axis=[1, 2, 3]) for values in maps]
    return means[0] if len(means) == 1 else tf.add_n(means) / len(means)


def squared_gradients(scores: Callable[[tf.Tensor], Sequence[tf.Tensor]], images: tf.Tensor) -> tf.Tensor:
    """Squared length of the gradient of each image's mean score with respect to its pixels.

    Args:
        scores: from images to the maps of a discriminator, each image for itself.
        images: [batch, height, width, channels].

    Returns:
        [batch], at least 0; differentiable with respect to the weights behind `scores`.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        total = tf.reduce_sum(image_means(scores(images)))
    return tf.reduce_sum(tf.square(tape.gradient(total, images)), axis=[1, 2, 3])


def r1_penalty(scores: Callable[[tf.Tensor], Sequence[tf.Tensor]], real: tf.Tensor) -> tf.Tensor:
    """Zero-centred gradient penalty on real images: |gradient|^2 / 2.

    Source: Mescheder et al. 2018, eq. 9.

    Args:
        scores: from images to the maps of a discriminator.
        real: [batch, height, width, channels].

    Returns:
        [batch], at least 0.
    """
    return squared_gradients(scores, real) / 2


def wgan_penalty(
    scores: Callable[[tf.Tensor], Sequence[tf.Tensor]], real: tf.Tensor, fake: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """One-centred gradient penalty at random places between real images and fakes: (|gradient| - 1)^2.

    Source: Gulrajani et al. 2017, eq. 3 and algorithm 1.

    Args:
        scores: from images to the maps of a discriminator.
        real: [batch, height, width, channels].
        fake: of the same shape.
        seed: int [2]; the same seed draws the same places.

    Returns:
        [batch], at least 0.
    """
    # Random integers: XLA makes other floats of the same random bits.
    draws = tf.random.stateless_uniform(
        [real.shape[0], 1, 1, 1], seed, maxval=WGAN_INTERPOLATION_STEPS, dtype=tf.int32, alg="philox"
    )
    share = tf.cast(draws, real.dtype) / WGAN_INTERPOLATION_STEPS
    # The root has no gradient at zero.
    lengths = tf.sqrt(squared_gradients(scores, real + share * (fake - real)) + 1e-12)
    return tf.square(lengths - 1.0)


def weight_penalty(kernels: Sequence[tf.Tensor], l1: float, l2: float) -> tf.Tensor:
    """Penalty on large weights: l1 * sum(|w|) + l2 * sum(w^2).

    Args:
        kernels: at least one, of any shape.
        l1: weight of the absolute values.
        l2: weight of the squares.
    """
    return tf.add_n([l1 * tf.reduce_sum(tf.abs(w)) + l2 * tf.reduce_sum(tf.square(w)) for w in kernels])


def cycle_loss(real: tf.Tensor, cycled: tf.Tensor) -> tf.Tensor:
    """Mean absolute error between images and their round trip: mean(|real - cycled|).

    Source: Zhu et al. 2017, eq. 2.

    Args:
        real: [batch, height, width, channels] in [-1, 1].
        cycled: same shape and range as `real`.

    Returns:
        [batch], between 0 and 2.

    Raises:
        ValueError: if the shapes are incompatible; they are never broadcast.
    """
    return _mean_absolute_error(real, cycled)


def identity_loss(real: tf.Tensor, same: tf.Tensor) -> tf.Tensor:
    """Mean absolute error between images and what the generator *into* their domain makes of them.

    Source: Zhu et al. 2017, section 5.2 (after Taigman et al. 2017).

    Args:
        real: [batch, height, width, channels] in [-1, 1].
        same: same shape and range as `real`.

    Returns:
        [batch], between 0 and 2.

    Raises:
        ValueError: if the shapes are incompatible; they are never broadcast.
    """
    return _mean_absolute_error(real, same)


def _mean_absolute_error(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    if not x.shape.is_compatible_with(y.shape):
        raise ValueError(f"Two images of incompatible shapes: {x.shape} and {y.shape}.")
    return tf.reduce_mean(tf.abs(x - y), axis=[1, 2, 3])
