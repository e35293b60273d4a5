"""The losses of CycleGAN: pure functions, one value per image, unweighted.

One value per image, not one per batch, lets the training step divide by the global batch size whatever
the number of replicas.
"""

import tensorflow as tf


def lsgan_loss(scores: tf.Tensor, target: float) -> tf.Tensor:
    """Least-squares adversarial loss: mean((scores - target)^2).

    Source: Mao et al. 2017, eq. 2, with target 1 for "real" and 0 for "fake".

    Args:
        scores: [batch, h, w, 1], from a discriminator.
        target: what the scores should be.

    Returns:
        [batch], at least 0.
    """
    return tf.reduce_mean(tf.square(scores - target), axis=[1, 2, 3])


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
