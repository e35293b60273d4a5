"""Loss scaling for mixed_float16: it keeps gradients in the range of 16 bits, where small ones would vanish.

A loss is multiplied by its scale before its gradients are computed, and they are divided by it. If a gradient was too
large for 16 bits, the step is not taken and the scale is halved; after many steps without one it is doubled. All
scales are powers of two, so they change no bit of a gradient that is in range.

Source: Micikevicius et al. 2018, section 3.2.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

FIRST_SCALES = (2.0**15, 2.0**15, 2.0**24)
"""In the order of `Scales`. The gradients of penalties are so small that their scale starts at its maximum."""

MAX_SCALE = 2.0**24
GROWTH_STEPS = 2000
"""A scale is doubled after so many steps without overflow."""

INNER_SCALE = 2.0**10
"""Multiplies the gradient whose size is a gradient penalty. It is small, as a mean over hundreds of scores."""


class Scales(NamedTuple):
    """The factors of one step, float32 scalars; None where nothing is scaled.

    Attributes:
        generators: multiplies the loss of the generators.
        discriminators: multiplies the loss of the discriminators.
        penalties: multiplies the gradient penalties of the discriminators.
    """

    generators: tf.Tensor | None = None
    discriminators: tf.Tensor | None = None
    penalties: tf.Tensor | None = None


class LossScale(NamedTuple):
    """The scales of a run, and for how many steps each has not been changed, in the order of `Scales`."""

    scales: tf.Variable  # float32 [3]
    ages: tf.Variable  # int64 [3]


def present_scales(loss_scale: LossScale | None) -> Scales:
    """The factors of the next step."""
    return Scales(*tf.unstack(tf.convert_to_tensor(loss_scale.scales))) if loss_scale else Scales()


def count_overflow(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """1 if a gradient is not finite, otherwise 0: a float32 scalar."""
    sums = tf.stack([tf.reduce_sum(gradient) for gradient in gradients])
    return 1 - tf.cast(tf.reduce_all(tf.math.is_finite(sums)), tf.float32)


def adapt(loss_scale: LossScale, has_overflown: tf.Tensor, is_taken: tf.Tensor) -> tf.Tensor:
    """Halves the scales that were too large, and doubles those that are old.

    Args:
        loss_scale: the scales, which are assigned.
        has_overflown: bool [3], for each scale whether a gradient that it multiplies was not finite on any replica.
        is_taken: bool, whether the step is taken.

    Returns:
        Whether a smaller scale can help: a bool scalar, false if the smallest one was not small enough.
    """
    before, ages = tf.convert_to_tensor(loss_scale.scales), tf.convert_to_tensor(loss_scale.ages)
    ages += tf.cast(is_taken, ages.dtype)
    is_old = ages >= GROWTH_STEPS
    scales = tf.where(has_overflown, tf.maximum(before / 2, 1.0), before)
    loss_scale.scales.assign(tf.where(is_old & ~has_overflown, tf.minimum(2 * scales, MAX_SCALE), scales))
    loss_scale.ages.assign(tf.where(is_old | has_overflown, tf.zeros_like(ages), ages))
    return tf.reduce_any(has_overflown & (before > 1.0))
