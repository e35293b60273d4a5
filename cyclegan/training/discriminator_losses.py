"""What a discriminator says of a batch, and the loss that it minimises."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.losses import ADVERSARIAL, WGAN_PENALTY_WEIGHT, image_means, r1_penalty, wgan_penalty
from cyclegan.training.loss_scaling import INNER_SCALE
from cyclegan.training.network_calls import every, score_maps
from cyclegan.training.randomness import pure
from cyclegan.training.state import State


class Judgement(NamedTuple):
    """The scores that a discriminator gives to real images, its loss, and its gradient penalty."""

    scores_real: Sequence[tf.Tensor]
    loss: tf.Tensor
    penalty: tf.Tensor


def judge(
    state: State,
    config: Config,
    discriminator: keras.Model,
    real: tf.Tensor,
    pooled: tf.Tensor,
    seed: tf.Tensor,
    part: tuple[tf.Tensor | int, int],
    global_mean: Callable[[tf.Tensor], tf.Tensor],
) -> Judgement:
    """The scores and the loss of one discriminator for real images and for images of the pool."""
    losses = config.losses
    adversarial, target = ADVERSARIAL[losses.adversarial], 1.0 - losses.label_smoothing
    apart = config.discriminator.normalization == "batch"
    scores_real, scores_pooled = score_maps(discriminator, real, pooled, apart=apart)
    loss = 0.5 * global_mean(
        image_means([adversarial.real(scores, target) for scores in scores_real])
        + image_means([adversarial.fake(scores) for scores in scores_pooled])
    )

    def scores_of(images: tf.Tensor) -> Sequence[tf.Tensor]:
        with pure(state.random_states, seed):
            return score_maps(discriminator, images)[0]

    scale = tf.constant(INNER_SCALE) if state.loss_scale else None
    penalty = tf.zeros([real.shape[0]], real.dtype)
    if losses.adversarial == "wgan_gp":
        penalty = WGAN_PENALTY_WEIGHT * wgan_penalty(scores_of, real, pooled, seed, part, scale)
    if losses.r1_weight:
        penalty = every(
            losses.r1_every_steps,
            state.step,
            lambda: losses.r1_weight * r1_penalty(scores_of, real, scale),
            penalty,
        )
    return Judgement(scores_real, loss, global_mean(penalty))
