"""The training step: the gradients of every network from one pure function, then the update.

The two are separate functions so that XLA can compile the first (it may not hold an all-reduce), and so that the
gradients of a step can be computed twice, timed or thrown away without a trace.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from cyclegan.config import Config
from cyclegan.losses import cycle_loss, identity_loss, lsgan_loss
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
)
"""What a step reports, in this order, each the mean over the global batch. Losses are weighted, as they are minimised.

`loss/generator_ab/cycle` is the round trip A -> B -> A, `loss/generator_ab/identity` is |G_AB(real_b) - real_b|.
"""


class Gradients(NamedTuple):
    """What one replica finds out from its batch; nothing in the state has changed yet."""

    generators: list[tf.Tensor]
    discriminators: list[tf.Tensor]
    pool_a: PoolUpdate
    pool_b: PoolUpdate
    metrics: tf.Tensor  # [len(METRICS)], this replica's part of the global mean


def compute_gradients(
    state: State, config: Config, real_a: tf.Tensor, real_b: tf.Tensor, replica: tf.Tensor, num_replicas: int
) -> Gradients:
    """Gradients of all four networks for one batch, all from one forward pass.

        generators:      sum over both directions of
                         mse(D(fake), 1) + cycle_weight * (|cycled - real| + identity_weight * |same - real|)
        discriminators:  0.5 * (mse(D(real), 1) + mse(D(pooled fake), 0))

    Each loss is divided by the global batch size, so that the sum over replicas is the mean.

    Source: Zhu et al. 2017, eq. 1 to 3; weights and pool as in the authors' PyTorch implementation.

    Args:
        state: read, never written.
        config: the loss weights and the seed.
        real_a: [batch, size, size, channels_a] in [-1, 1], this replica's images of domain A.
        real_b: the same for domain B; same batch size.
        replica: int, number of this replica.
        num_replicas: how many replicas share the step.
    """
    weights = config.losses
    batch_size = real_a.shape[0]
    seed_a, seed_b = _pool_seeds(config.training.seed, state.step, replica)

    def global_mean(per_image: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(per_image) / (batch_size * num_replicas)

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([variable.value for variable in state.generator_variables])
        if weights.identity_weight:
            # One call for both images that a generator sees at this point: larger convolutions, fewer of them.
            fake_b, same_b = tf.split(state.generator_ab(tf.concat([real_a, real_b], 0), training=True), 2)
            fake_a, same_a = tf.split(state.generator_ba(tf.concat([real_b, real_a], 0), training=True), 2)
            identity_ab = global_mean(identity_loss(real_b, same_b))
            identity_ba = global_mean(identity_loss(real_a, same_a))
        else:
            fake_b = state.generator_ab(real_a, training=True)
            fake_a = state.generator_ba(real_b, training=True)
            identity_ab = identity_ba = tf.zeros([], real_a.dtype)
        cycled_a = state.generator_ba(fake_b, training=True)
        cycled_b = state.generator_ab(fake_a, training=True)
        scores_fake_a = state.discriminator_a(fake_a, training=True)
        scores_fake_b = state.discriminator_b(fake_b, training=True)

        generator_losses = [
            global_mean(lsgan_loss(scores_fake_b, 1.0)),
            global_mean(cycle_loss(real_a, cycled_a)) * weights.cycle_weight_a,
            identity_ab * (weights.cycle_weight_b * weights.identity_weight),
            global_mean(lsgan_loss(scores_fake_a, 1.0)),
            global_mean(cycle_loss(real_b, cycled_b)) * weights.cycle_weight_b,
            identity_ba * (weights.cycle_weight_a * weights.identity_weight),
        ]
        generator_loss = tf.add_n(generator_losses)
    generator_gradients = tape.gradient(generator_loss, [v.value for v in state.generator_variables])

    pooled_a, pool_a = state.pool_a.query(tf.stop_gradient(fake_a), seed_a)
    pooled_b, pool_b = state.pool_b.query(tf.stop_gradient(fake_b), seed_b)

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([variable.value for variable in state.discriminator_variables])
        scores_a = state.discriminator_a(tf.concat([real_a, pooled_a], 0), training=True)
        scores_b = state.discriminator_b(tf.concat([real_b, pooled_b], 0), training=True)
        scores_real_a, scores_pooled_a = tf.split(scores_a, 2)
        scores_real_b, scores_pooled_b = tf.split(scores_b, 2)
        discriminator_losses = [
            0.5 * global_mean(lsgan_loss(scores_real_a, 1.0) + lsgan_loss(scores_pooled_a, 0.0)),
            0.5 * global_mean(lsgan_loss(scores_real_b, 1.0) + lsgan_loss(scores_pooled_b, 0.0)),
        ]
        discriminator_loss = tf.add_n(discriminator_losses)
    discriminator_gradients = tape.gradient(discriminator_loss, [v.value for v in state.discriminator_variables])

    mean_scores = [
        global_mean(tf.reduce_mean(scores, axis=[1, 2, 3]))
        for scores in (scores_real_a, scores_fake_a, scores_real_b, scores_fake_b)
    ]
    return Gradients(
        generators=generator_gradients,
        discriminators=discriminator_gradients,
        pool_a=pool_a,
        pool_b=pool_b,
        metrics=tf.stack(generator_losses + discriminator_losses + mean_scores),
    )


def _pool_seeds(seed: int, step: tf.Tensor, replica: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A seed for each pool, different in every step and replica; the same bits whether XLA compiles it or not."""
    folded = tf.constant([seed, 0x706F6F6C], tf.int32)
    for number in (tf.cast(step, tf.int32), tf.cast(replica, tf.int32)):
        folded = tf.random.experimental.stateless_fold_in(folded, number, alg="philox")
    seed_a, seed_b = tf.unstack(tf.random.experimental.stateless_split(folded, 2, alg="philox"))
    return seed_a, seed_b


def apply_gradients(state: State, gradients: Gradients) -> None:
    """Updates all networks (gradients summed over the replicas), the pools and the step counter."""
    state.generator_optimizer.apply(gradients.generators, state.generator_variables)
    state.discriminator_optimizer.apply(gradients.discriminators, state.discriminator_variables)
    state.pool_a.store(gradients.pool_a)
    state.pool_b.store(gradients.pool_b)
    state.step.assign_add(1)


def build_gradients(
    state: State, config: Config, strategy: tf.distribute.Strategy, jit_compile: bool
) -> Callable[[tf.Tensor, tf.Tensor], Gradients]:
    """`compute_gradients` as one function of (real_a, real_b), to be called in a replica.

    Args:
        state: what the gradients are of.
        config: the whole configuration.
        strategy: under which `state` was built.
        jit_compile: whether XLA compiles the function.
    """

    def gradients(real_a: tf.Tensor, real_b: tf.Tensor, replica: tf.Tensor) -> Gradients:
        return compute_gradients(state, config, real_a, real_b, replica, strategy.num_replicas_in_sync)

    function = tf.function(gradients, jit_compile=jit_compile, autograph=False)

    def in_replica(real_a: tf.Tensor, real_b: tf.Tensor) -> Gradients:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return function(real_a, real_b, tf.convert_to_tensor(replica))

    return in_replica


def build_step(
    state: State,
    strategy: tf.distribute.Strategy,
    gradients: Callable[[tf.Tensor, tf.Tensor], Gradients],
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The training step on every replica: the gradients, then the update.

    Args:
        state: what the step advances.
        strategy: under which `state` was built.
        gradients: from `build_gradients`, for the same state.

    Returns:
        A function of (real_a, real_b), each the global batch as the strategy distributes it, to the metrics
        [len(METRICS)], summed over replicas. To be called inside a `tf.function`.
    """

    def replica_step(real_a: tf.Tensor, real_b: tf.Tensor) -> tf.Tensor:
        found = gradients(real_a, real_b)
        apply_gradients(state, found)
        return found.metrics

    def step(real_a: tf.Tensor, real_b: tf.Tensor) -> tf.Tensor:
        metrics = strategy.run(replica_step, args=(real_a, real_b))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, metrics, axis=None)

    return step


def build_steps(
    step: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], dtype: str
) -> Callable[[tf.data.Iterator, tf.Tensor], tf.Tensor]:
    """Many steps in one call from Python.

    Args:
        step: from `build_step`.
        dtype: of the metrics.

    Returns:
        A function of (iterator over pairs of global batches, number of steps) to the metrics of every
        step [steps, len(METRICS)]. The result does not depend on how the steps are shared out over calls.
    """

    def next_step(iterator: tf.data.Iterator) -> tf.Tensor:
        # A function of its own: AutoGraph cannot carry per-replica values around a loop.
        real_a, real_b = next(iterator)
        return step(real_a, real_b)

    @tf.function
    def steps(iterator: tf.data.Iterator, num_steps: tf.Tensor) -> tf.Tensor:
        metrics = tf.TensorArray(dtype, size=num_steps, element_shape=[len(METRICS)])
        for index in tf.range(num_steps):
            metrics = metrics.write(index, next_step(iterator))
        return metrics.stack()

    return steps
