"""The gradients of every network for one batch: one pure function, from the forward pass to the metrics."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.losses import (
    ADVERSARIAL,
    WGAN_PENALTY_WEIGHT,
    cycle_loss,
    identity_loss,
    image_means,
    r1_penalty,
    weight_penalty,
    wgan_penalty,
)
from cyclegan.training.image_pool import PoolUpdate
from cyclegan.training.state import State

METRICS = (
    "loss/generator_ab/adversarial",
    "loss/generator_ab/cycle",
    "loss/generator_ab/identity",
    "loss/generator_ba/adversarial",
    "loss/generator_ba/cycle",
    "loss/generator_ba/identity",
    "loss/discriminator_a",
    "loss/discriminator_b",
    "score/discriminator_a/real",
    "score/discriminator_a/fake",
    "score/discriminator_b/real",
    "score/discriminator_b/fake",
    "penalty/discriminator_a/gradient",
    "penalty/discriminator_b/gradient",
    "penalty/generators/weights",
    "penalty/discriminators/weights",
)
"""What a step reports, in this order, each the mean over the global batch. Losses are weighted, as they are minimised.

`loss/generator_ab/cycle` is the round trip A -> B -> A, `loss/generator_ab/identity` is |G_AB(real_b) - real_b|.
Penalties are weighted too, and not part of the losses above them; 0 where they are off.
"""


POOL, LAYERS, IDENTITY, PENALTY_A, PENALTY_B = 0x706F6F6C, 1, 2, 3, 4
"""What a random seed is for, so that no two draws of a step are the same."""


class Gradients(NamedTuple):
    """What one replica finds out from its batch; nothing in the state has changed yet."""

    generators: list[tf.Tensor]
    discriminators: list[tf.Tensor]
    statistics: list[tf.Tensor]  # new values of `State.statistics`
    pool_a: PoolUpdate
    pool_b: PoolUpdate
    metrics: tf.Tensor  # [len(METRICS)], this replica's part of the global mean


class _Translation(NamedTuple):
    """What the generators make of a batch, and what it costs them."""

    fake_a: tf.Tensor
    fake_b: tf.Tensor
    scores_fake_a: Sequence[tf.Tensor]
    scores_fake_b: Sequence[tf.Tensor]
    losses: list[tf.Tensor]  # the first six of METRICS


class _Judgement(NamedTuple):
    """What a discriminator makes of real images and of pooled fakes, and what it costs it."""

    scores_real: Sequence[tf.Tensor]
    loss: tf.Tensor
    penalty: tf.Tensor


def compute_gradients(
    state: State, config: Config, real_a: tf.Tensor, real_b: tf.Tensor, replica: tf.Tensor, num_replicas: int
) -> Gradients:
    """Gradients of all four networks for one batch, all from one forward pass.

        generators:      sum over both directions of
                         generator(D(fake)) + cycle_weight * (|cycled - real| + identity_weight * |same - real|)
        discriminators:  0.5 * (real(D(real)) + fake(D(pooled fake))) + gradient penalty

    with generator, real and fake of the adversarial loss; for LSGAN the squared distances to 1, 1 and 0. To each comes
    the penalty on its weights. All is divided by the global batch size, so that the sum over replicas is the mean.

    Source: Zhu et al. 2017, eq. 1 to 3; weights and pool as in the authors' PyTorch implementation.

    Args:
        state: read, never written.
        config: the loss weights and the seed.
        real_a: [batch, size, size, channels_a] in [-1, 1], this replica's images of domain A.
        real_b: the same for domain B; same batch size.
        replica: int, number of this replica.
        num_replicas: how many replicas share the step.
    """
    batch_size = real_a.shape[0]

    def global_mean(per_image: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(per_image) / (batch_size * num_replicas)

    def seed(purpose: int) -> tf.Tensor:
        return _seed(config.training.seed, purpose, state.step, replica)

    def weights_loss(variables: list[keras.Variable], l1: float, l2: float) -> tf.Tensor:
        kernels = [tf.cast(variable.value, real_a.dtype) for variable in variables if variable.name == "kernel"]
        return weight_penalty(kernels, l1, l2) / num_replicas if l1 or l2 else tf.zeros([], real_a.dtype)

    # What the networks assign to their variables leaves this scope by `statistics` alone.
    with _pure(state, seed(LAYERS)) as scope:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in state.generator_variables])
            translation = _translate(state, config, real_a, real_b, seed(IDENTITY), global_mean)
            weights_generators = weights_loss(state.generator_variables, config.generator.l1, config.generator.l2)
            total = tf.add_n([*translation.losses, weights_generators])
        generator_gradients = tape.gradient(total, [variable.value for variable in state.generator_variables])

        seed_a, seed_b = tf.unstack(tf.random.experimental.stateless_split(seed(POOL), 2, alg="philox"))
        pooled_a, pool_a = state.pool_a.query(tf.stop_gradient(translation.fake_a), seed_a)
        pooled_b, pool_b = state.pool_b.query(tf.stop_gradient(translation.fake_b), seed_b)

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in state.discriminator_variables])
            of_a = _judge(state, config, state.discriminator_a, real_a, pooled_a, seed(PENALTY_A), global_mean)
            of_b = _judge(state, config, state.discriminator_b, real_b, pooled_b, seed(PENALTY_B), global_mean)
            weights_discriminators = weights_loss(
                state.discriminator_variables, config.discriminator.l1, config.discriminator.l2
            )
            total = tf.add_n([of_a.loss, of_b.loss, of_a.penalty, of_b.penalty, weights_discriminators])
        discriminator_gradients = tape.gradient(total, [variable.value for variable in state.discriminator_variables])
        statistics = [scope.get_current_value(variable) for variable in state.statistics]

    scores = (of_a.scores_real, translation.scores_fake_a, of_b.scores_real, translation.scores_fake_b)
    return Gradients(
        generators=generator_gradients,
        discriminators=discriminator_gradients,
        statistics=statistics,
        pool_a=pool_a,
        pool_b=pool_b,
        metrics=tf.stack(
            [
                *translation.losses,
                of_a.loss,
                of_b.loss,
                *(global_mean(image_means(maps)) for maps in scores),
                of_a.penalty,
                of_b.penalty,
                weights_generators,
                weights_discriminators,
            ]
        ),
    )


def _translate(
    state: State,
    config: Config,
    real_a: tf.Tensor,
    real_b: tf.Tensor,
    seed: tf.Tensor,
    global_mean: Callable[[tf.Tensor], tf.Tensor],
) -> _Translation:
    losses, generator_ab, generator_ba = config.losses, state.generator_ab, state.generator_ba
    adversarial = ADVERSARIAL[losses.adversarial].generator
    if losses.identity_weight and losses.identity_every_steps == 1:
        # One call for both images that a generator sees at this point: larger convolutions, fewer of them.
        apart = config.generator.normalization == "batch"
        fake_b, same_b = _each(generator_ab, real_a, real_b, apart=apart)
        fake_a, same_a = _each(generator_ba, real_b, real_a, apart=apart)
        identity_ab, identity_ba = identity_loss(real_b, same_b), identity_loss(real_a, same_a)
    else:
        fake_b = generator_ab(real_a, training=True)
        fake_a = generator_ba(real_b, training=True)
        identity_ab = identity_ba = tf.zeros([real_a.shape[0]], real_a.dtype)
        if losses.identity_weight:

            def identities() -> tf.Tensor:
                with _pure(state, seed):  # a branch must not leave tensors in the outer scope
                    same_b, same_a = generator_ab(real_b, training=True), generator_ba(real_a, training=True)
                return tf.stack([identity_loss(real_b, same_b), identity_loss(real_a, same_a)])

            # Replicas cannot meet in a branch, as they do in batch normalization.
            in_branch = config.generator.normalization != "batch"
            none = tf.stack([identity_ab, identity_ba])
            found = _every(losses.identity_every_steps, state.step, identities, none, in_branch=in_branch)
            identity_ab, identity_ba = tf.unstack(found)
    cycled_a = generator_ba(fake_b, training=True)
    cycled_b = generator_ab(fake_a, training=True)
    ((scores_fake_a,), (scores_fake_b,)) = (
        _scores(state.discriminator_a, fake_a),
        _scores(state.discriminator_b, fake_b),
    )
    identity_ab, identity_ba = global_mean(identity_ab), global_mean(identity_ba)
    if losses.identity_fading:
        share = 1 - tf.cast(state.step, real_a.dtype) / state.num_steps
        identity_ab, identity_ba = identity_ab * share, identity_ba * share
    return _Translation(
        fake_a,
        fake_b,
        scores_fake_a,
        scores_fake_b,
        [
            global_mean(image_means([adversarial(scores) for scores in scores_fake_b])),
            global_mean(cycle_loss(real_a, cycled_a)) * losses.cycle_weight_a,
            identity_ab * (losses.cycle_weight_b * losses.identity_weight),
            global_mean(image_means([adversarial(scores) for scores in scores_fake_a])),
            global_mean(cycle_loss(real_b, cycled_b)) * losses.cycle_weight_b,
            identity_ba * (losses.cycle_weight_a * losses.identity_weight),
        ],
    )


def _judge(
    state: State,
    config: Config,
    discriminator: keras.Model,
    real: tf.Tensor,
    pooled: tf.Tensor,
    seed: tf.Tensor,
    global_mean: Callable[[tf.Tensor], tf.Tensor],
) -> _Judgement:
    losses = config.losses
    adversarial, target = ADVERSARIAL[losses.adversarial], 1.0 - losses.label_smoothing
    apart = config.discriminator.normalization == "batch"
    scores_real, scores_pooled = _scores(discriminator, real, pooled, apart=apart)
    loss = 0.5 * global_mean(
        image_means([adversarial.real(scores, target) for scores in scores_real])
        + image_means([adversarial.fake(scores) for scores in scores_pooled])
    )

    def scores_of(images: tf.Tensor) -> Sequence[tf.Tensor]:
        with _pure(state, seed):
            return _scores(discriminator, images)[0]

    penalty = tf.zeros([real.shape[0]], real.dtype)
    if losses.adversarial == "wgan_gp":
        penalty = WGAN_PENALTY_WEIGHT * wgan_penalty(scores_of, real, pooled, seed)
    if losses.r1_weight:
        penalty = _every(
            losses.r1_every_steps, state.step, lambda: losses.r1_weight * r1_penalty(scores_of, real), penalty
        )
    return _Judgement(scores_real, loss, global_mean(penalty))


def _each(network: keras.Model, *batches: tf.Tensor, apart: bool) -> list[tf.Tensor]:
    """The network's output for each batch: from one call, or apart, because batch norm mixes what it is called with."""
    if apart or len(batches) == 1:
        return [network(batch, training=True) for batch in batches]
    outputs = network(tf.concat(batches, 0), training=True)
    parts = tf.nest.map_structure(lambda output: tf.split(output, len(batches)), outputs)
    return parts if isinstance(outputs, tf.Tensor) else list(zip(*parts, strict=True))


def _scores(discriminator: keras.Model, *batches: tf.Tensor, apart: bool = False) -> list[Sequence[tf.Tensor]]:
    """The maps of scores of each batch, one for each scale."""
    return [tf.nest.flatten(maps) for maps in _each(discriminator, *batches, apart=apart)]


def _every(
    num_steps: int, step: tf.Tensor, compute: Callable[[], tf.Tensor], otherwise: tf.Tensor, *, in_branch: bool = True
) -> tf.Tensor:
    """What `compute` returns, in every so many steps only, and that many times as large; in a branch it saves time."""
    if num_steps == 1:
        return compute()
    if in_branch:
        return tf.cond(step % num_steps == 0, lambda: num_steps * compute(), lambda: otherwise)
    return tf.where(step % num_steps == 0, num_steps * compute(), otherwise)


def _seed(seed: int, purpose: int, step: tf.Tensor, replica: tf.Tensor) -> tf.Tensor:
    """An int [2], another in every step and replica; the same bits whether XLA compiles it or not."""
    folded = tf.constant([seed, purpose], tf.int32)
    for number in (tf.cast(step, tf.int32), tf.cast(replica, tf.int32)):
        folded = tf.random.experimental.stateless_fold_in(folded, number, alg="philox")
    return folded


def _pure(state: State, seed: tf.Tensor) -> keras.StatelessScope:
    """A scope in which the networks change no variable, and draw random numbers from the seed."""
    return keras.StatelessScope(
        [
            (variable, tf.random.experimental.stateless_fold_in(seed, index, alg="philox"))
            for index, variable in enumerate(state.random_states)
        ]
    )
