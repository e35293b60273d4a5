"""What the generators make of a batch, and the losses that they minimise."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.losses import ADVERSARIAL, cycle_loss, identity_loss, image_means
from cyclegan.training.network_calls import NetworkCall, call_each, every, score_maps
from cyclegan.training.randomness import pure
from cyclegan.training.state import State


class Translation(NamedTuple):
    """The translations of a batch, and the losses of the generators that made them."""

    fake_a: tf.Tensor
    fake_b: tf.Tensor
    scores_fake_a: Sequence[tf.Tensor]
    scores_fake_b: Sequence[tf.Tensor]
    losses: dict[str, tf.Tensor]


def translate(
    state: State,
    config: Config,
    real_a: tf.Tensor,
    real_b: tf.Tensor,
    seed: tf.Tensor,
    call: NetworkCall,
    global_mean: Callable[[tf.Tensor], tf.Tensor],
) -> Translation:
    """Both translations of a batch with their way back, and the losses of the generators."""
    losses, adversarial = config.losses, ADVERSARIAL[config.losses.adversarial].generator
    fake_a, fake_b, identity_ab, identity_ba = _fakes_and_identity(state, config, real_a, real_b, seed, call)
    cycle_a = cycle_b = tf.zeros([real_a.shape[0]], real_a.dtype)
    if losses.cycle_weight_a:
        cycle_a = cycle_loss(real_a, call(state.generator_ba, fake_b))
    if losses.cycle_weight_b:
        cycle_b = cycle_loss(real_b, call(state.generator_ab, fake_a))
    (scores_fake_a,) = score_maps(state.discriminator_a, fake_a)
    (scores_fake_b,) = score_maps(state.discriminator_b, fake_b)
    identity_ab, identity_ba = global_mean(identity_ab), global_mean(identity_ba)
    if losses.identity_fading:
        share = 1 - tf.cast(state.samples / state.length.num_samples, real_a.dtype)
        identity_ab, identity_ba = identity_ab * share, identity_ba * share

    def fooling(scores: Sequence[tf.Tensor]) -> tf.Tensor:
        return global_mean(image_means([adversarial(maps) for maps in scores]))

    return Translation(
        fake_a,
        fake_b,
        scores_fake_a,
        scores_fake_b,
        {
            "loss/generator_ab/adversarial": fooling(scores_fake_b),
            "loss/generator_ab/cycle": global_mean(cycle_a) * losses.cycle_weight_a,
            "loss/generator_ab/identity": identity_ab * (losses.cycle_weight_b * losses.identity_weight),
            "loss/generator_ba/adversarial": fooling(scores_fake_a),
            "loss/generator_ba/cycle": global_mean(cycle_b) * losses.cycle_weight_b,
            "loss/generator_ba/identity": identity_ba * (losses.cycle_weight_a * losses.identity_weight),
            **_distillation(state, config, real_a, real_b, fake_a, fake_b, global_mean),
        },
    )


def _distillation(
    state: State,
    config: Config,
    real_a: tf.Tensor,
    real_b: tf.Tensor,
    fake_a: tf.Tensor,
    fake_b: tf.Tensor,
    global_mean: Callable[[tf.Tensor], tf.Tensor],
) -> dict[str, tf.Tensor]:
    """How far the translations are from those of the teachers; nothing if there are none."""
    if not state.teachers:
        return {}
    teacher_ab, teacher_ba = state.teachers
    weight = config.distillation.weight
    return {
        "loss/generator_ab/distillation": global_mean(cycle_loss(teacher_ab(real_a, training=False), fake_b)) * weight,
        "loss/generator_ba/distillation": global_mean(cycle_loss(teacher_ba(real_b, training=False), fake_a)) * weight,
    }


def _fakes_and_identity(
    state: State, config: Config, real_a: tf.Tensor, real_b: tf.Tensor, seed: tf.Tensor, call: NetworkCall
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """`fake_a`, `fake_b`, and the identity losses [batch] of `generator_ab` and `generator_ba`."""
    losses, generator_ab, generator_ba = config.losses, state.generator_ab, state.generator_ba
    if losses.identity_weight and losses.identity_every_steps == 1:
        # One call for both images that a generator gets here means larger convolutions, and fewer of them.
        apart = config.generator.normalization == "batch"
        fake_b, same_b = call_each(generator_ab, real_a, real_b, apart=apart, call=call)
        fake_a, same_a = call_each(generator_ba, real_b, real_a, apart=apart, call=call)
        return fake_a, fake_b, identity_loss(real_b, same_b), identity_loss(real_a, same_a)

    fake_b, fake_a = call(generator_ab, real_a), call(generator_ba, real_b)
    none = tf.zeros([2, real_a.shape[0]], real_a.dtype)
    if not losses.identity_weight:
        return fake_a, fake_b, none[0], none[1]

    def identities() -> tf.Tensor:
        with pure(state.random_states, seed):  # a branch must not leave tensors in the outer scope
            same_b, same_a = generator_ab(real_b, training=True), generator_ba(real_a, training=True)
        return tf.stack([identity_loss(real_b, same_b), identity_loss(real_a, same_a)])

    # Batch normalization synchronises the replicas, which is not possible inside a branch.
    in_branch = config.generator.normalization != "batch"
    found = every(losses.identity_every_steps, state.step, identities, none, in_branch=in_branch)
    return fake_a, fake_b, *tf.unstack(found)
