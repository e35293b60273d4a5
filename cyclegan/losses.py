"""The losses of CycleGAN as pure functions, which return one unweighted value per image.

Because the functions do not average over the batch, the training step can divide by the global batch size for any
number of replicas.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf


class AdversarialLoss(NamedTuple):
    """One form of the adversarial loss: three functions, which are applied to each score."""

    real: Callable[[tf.Tensor, float], tf.Tensor]
    """What a discriminator minimizes for (scores of real images, target).

    Without label smoothing the target is 1. Smoothing is one-sided (Salimans et al. 2016, section 3.4).
    """
    fake: Callable[[tf.Tensor], tf.Tensor]
    """What a discriminator minimizes for the scores of translated images."""
    generator: Callable[[tf.Tensor], tf.Tensor]
    """What a generator minimizes for the scores of its translated images."""
    guess: float | None
    """The loss of a discriminator that guesses, the mean of `real` and `fake`; None where scores have no such value."""


ADVERSARIAL = {
    # Mao et al. 2017, eq. 2, with target 1 for real and 0 for translated images.
    "lsgan": AdversarialLoss(
        real=lambda scores, target: tf.square(scores - target),
        fake=tf.square,
        generator=lambda scores: tf.square(scores - 1.0),
        guess=0.25,
    ),
    # Goodfellow et al. 2014, eq. 1, for scores that are logits; for generators the non-saturating form of section 3.
    "vanilla": AdversarialLoss(
        real=lambda scores, target: tf.nn.softplus(scores) - target * scores,
        fake=tf.nn.softplus,
        generator=lambda scores: tf.nn.softplus(-scores),
        guess=math.log(2),
    ),
    # Miyato et al. 2018, eq. 16 and 17 (after Lim and Ye 2017).
    "hinge": AdversarialLoss(
        real=lambda scores, target: tf.nn.relu(1.0 - scores),
        fake=lambda scores: tf.nn.relu(1.0 + scores),
        generator=lambda scores: -scores,
        guess=1.0,
    ),
    # Gulrajani et al. 2017, eq. 3. Its last term is `wgan_penalty`.
    "wgan_gp": AdversarialLoss(
        real=lambda scores, target: -scores,
        fake=lambda scores: scores,
        generator=lambda scores: -scores,
        guess=None,
    ),
}
"""The values of `losses.adversarial`."""

WGAN_PENALTY_WEIGHT = 10.0
"""Weight of `wgan_penalty` (Gulrajani et al. 2017, section 4)."""

WGAN_INTERPOLATION_STEPS = 1 << 16
"""Number of points between a real and a translated image from which `wgan_penalty` draws one."""


def image_means(maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """One score per image: the mean over each score map, then over the maps.

    Args:
        maps: score maps [batch, h, w, 1], one for each scale of a discriminator.

    Returns:
        [batch].
    """
    means = [tf.reduce_mean(values, axis=[1, 2, 3]) for values in maps]
    return means[0] if len(means) == 1 else tf.add_n(means) / len(means)


def squared_gradients(
    scores: Callable[[tf.Tensor], Sequence[tf.Tensor]], images: tf.Tensor, scale: tf.Tensor | None = None
) -> tf.Tensor:
    """Squared length of the gradient of each image's mean score with respect to its pixels.

    Args:
        scores: a discriminator, as a function from images to score maps. An image must not affect the scores of others.
        images: [batch, height, width, channels].
        scale: multiplies the gradient while `scores` is computed backwards, which keeps it in the range of float16. The
            result does not depend on it.

    Returns:
        [batch], at least 0. It is differentiable with respect to the weights that `scores` uses.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        total = tf.reduce_sum(image_means(scores(images)))
    gradient = tape.gradient(total, images, output_gradients=scale)
    return tf.reduce_sum(tf.square(gradient if scale is None else gradient / scale), axis=[1, 2, 3])


def r1_penalty(
    scores: Callable[[tf.Tensor], Sequence[tf.Tensor]], real: tf.Tensor, scale: tf.Tensor | None = None
) -> tf.Tensor:
    """Zero-centred gradient penalty on real images: |gradient|^2 / 2.

    Source: Mescheder et al. 2018, eq. 9.

    Args:
        scores: a discriminator, as a function from images to score maps.
        real: real images [batch, height, width, channels].
        scale: see `squared_gradients`.

    Returns:
        [batch], at least 0.
    """
    return squared_gradients(scores, real, scale) / 2


def wgan_penalty(
    scores: Callable[[tf.Tensor], Sequence[tf.Tensor]],
    real: tf.Tensor,
    fake: tf.Tensor,
    seed: tf.Tensor,
    part: tuple[tf.Tensor | int, int] = (0, 1),
    scale: tf.Tensor | None = None,
) -> tf.Tensor:
    """One-centred gradient penalty at random points between real and translated images: (|gradient| - 1)^2.

    Source: Gulrajani et al. 2017, eq. 3 and algorithm 1.

    Args:
        scores: a discriminator, as a function from images to score maps.
        real: real images [batch, height, width, channels].
        fake: translated images of the same shape as `real`.
        seed: int [2]. The same seed draws the same points.
        part: (index, count) if these images are one of `count` equal parts of a batch. Each image then gets the point
            that it has in the whole batch.
        scale: see `squared_gradients`.

    Returns:
        [batch], at least 0.
    """
    batch, (index, count) = real.shape[0], part
    # The draws are integers, because XLA turns the same random bits into different floating-point numbers.
    draws = tf.random.stateless_uniform(
        [count * batch, 1, 1, 1], seed, maxval=WGAN_INTERPOLATION_STEPS, dtype=tf.int32, alg="philox"
    )
    share = (
        tf.cast(tf.slice(draws, [index * batch, 0, 0, 0], [batch, 1, 1, 1]) if count > 1 else draws, real.dtype)
        / WGAN_INTERPOLATION_STEPS
    )
    # The square root does not have a gradient at zero.
    lengths = tf.sqrt(squared_gradients(scores, real + share * (fake - real), scale) + 1e-12)
    return tf.square(lengths - 1.0)


def weight_penalty(kernels: Sequence[tf.Tensor], l1: float, l2: float) -> tf.Tensor:
    """Penalty on large weights: l1 * sum(|w|) + l2 * sum(w^2).

    Args:
        kernels: one or more tensors of any shape.
        l1: weight of the sum of absolute values.
        l2: weight of the sum of squares.
    """
    return tf.add_n([l1 * tf.reduce_sum(tf.abs(w)) + l2 * tf.reduce_sum(tf.square(w)) for w in kernels])


def cycle_loss(real: tf.Tensor, cycled: tf.Tensor) -> tf.Tensor:
    """Mean absolute error between images and their round trip: mean(|real - cycled|).

    Source: Zhu et al. 2017, eq. 2.

    Args:
        real: images [batch, height, width, channels] in [-1, 1].
        cycled: `real` translated there and back, in the same shape and range.

    Returns:
        [batch], between 0 and 2.

    Raises:
        ValueError: if the shapes differ. Neither tensor is broadcast.
    """
    return _mean_absolute_error(real, cycled)


def identity_loss(real: tf.Tensor, same: tf.Tensor) -> tf.Tensor:
    """Mean absolute error between images and their translation into the domain that they already belong to.

    Source: Zhu et al. 2017, section 5.2 (after Taigman et al. 2017).

    Args:
        real: images [batch, height, width, channels] in [-1, 1].
        same: `real` after the generator that translates into its domain, in the same shape and range.

    Returns:
        [batch], between 0 and 2.

    Raises:
        ValueError: if the shapes differ. Neither tensor is broadcast.
    """
    return _mean_absolute_error(real, same)


def _mean_absolute_error(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    if not x.shape.is_compatible_with(y.shape):
        raise ValueError(f"The two batches of images must have the same shape. Received: {x.shape} and {y.shape}.")
    return tf.reduce_mean(tf.abs(x - y), axis=[1, 2, 3])
