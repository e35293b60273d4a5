"""The training step: the gradients, then the update.

These are two functions for two reasons. XLA can compile only the first one, because the second holds an all-reduce.
And the gradients of a step can be computed twice, timed, or thrown away without changing anything.
"""

from collections.abc import Callable

import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.training.gradients import Gradients, Metrics, compute_gradients
from cyclegan.training.state import State


def apply_gradients(state: State, config: Config, gradients: Gradients) -> None:
    """Updates all networks by the gradients summed over the replicas, then pools, averages and the step counter."""
    state.generator_optimizer.apply(gradients.generators, state.generator_variables)
    state.discriminator_optimizer.apply(gradients.discriminators, state.discriminator_variables)
    for variable, value in zip(state.statistics, gradients.statistics, strict=True):
        variable.assign(value)
    state.pool_a.store(gradients.pool_a)
    state.pool_b.store(gradients.pool_b)
    _update_averages(state, config.training.ema_decay)
    state.step.assign_add(1)


def _update_averages(state: State, decay: float) -> None:
    """Moves each average towards its generator: average += (1 - decay) * (weight - average).

    In the first steps the decay is (1 + step) / (10 + step) where that is less, so that the average soon forgets the
    weights from before the training.
    """
    step = tf.cast(state.step, tf.float64) + 1
    rate = 1 - tf.minimum(tf.cast(decay, tf.float64), (1 + step) / (10 + step))
    for average, generator in zip(state.averages, (state.generator_ab, state.generator_ba), strict=False):
        for mean, weight in zip(average.weights, generator.weights, strict=True):
            mean.assign(mean + tf.cast(rate, mean.dtype) * (weight - mean))


def synchronises_replicas(config: Config, strategy: tf.distribute.Strategy) -> bool:
    """Whether a replica needs the images of the others, as batch normalization on several replicas does."""
    normalizations = (config.generator.normalization, config.discriminator.normalization)
    return strategy.num_replicas_in_sync > 1 and "batch" in normalizations


def build_gradients(
    state: State, config: Config, strategy: tf.distribute.Strategy, jit_compile: bool
) -> Callable[[tf.Tensor, tf.Tensor], Gradients]:
    """Makes `compute_gradients` a function of (real_a, real_b), which each replica calls.

    Args:
        state: the networks whose gradients are computed.
        config: the whole configuration.
        strategy: the strategy under which `state` was built.
        jit_compile: whether XLA compiles the function.

    Raises:
        ValueError: if XLA cannot compile it, because the replicas synchronise in it.
    """
    if jit_compile and synchronises_replicas(config, strategy):
        raise ValueError("XLA cannot compile batch normalization over several replicas.")

    def gradients(real_a: tf.Tensor, real_b: tf.Tensor, replica: tf.Tensor) -> Gradients:
        return compute_gradients(state, config, real_a, real_b, replica, strategy.num_replicas_in_sync)

    # Replicas cannot synchronise inside a `tf.function` that each of them calls by itself.
    compiled = tf.function(gradients, jit_compile=jit_compile, autograph=False)
    function = gradients if synchronises_replicas(config, strategy) else compiled

    def in_replica(real_a: tf.Tensor, real_b: tf.Tensor) -> Gradients:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return function(real_a, real_b, tf.convert_to_tensor(replica))

    return in_replica


def build_step(
    state: State,
    config: Config,
    strategy: tf.distribute.Strategy,
    gradients: Callable[[tf.Tensor, tf.Tensor], Gradients],
) -> Callable[[tf.Tensor, tf.Tensor], Metrics]:
    """The training step on every replica: the gradients, then the update.

    Args:
        state: the state that the step advances.
        config: the whole configuration.
        strategy: the strategy under which `state` was built.
        gradients: the result of `build_gradients` for the same state.

    Returns:
        A function of (real_a, real_b), each the global batch as the strategy distributes it. It returns the metrics,
        summed over the replicas. Call it inside a `tf.function`.
    """

    def replica_step(real_a: tf.Tensor, real_b: tf.Tensor) -> Metrics:
        found = gradients(real_a, real_b)
        apply_gradients(state, config, found)
        return found.metrics

    def step(real_a: tf.Tensor, real_b: tf.Tensor) -> Metrics:
        metrics = strategy.run(replica_step, args=(real_a, real_b))
        return {name: strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for name, value in metrics.items()}

    return step


def build_steps(
    step: Callable[[tf.Tensor, tf.Tensor], Metrics], dtype: str
) -> Callable[[tf.data.Iterator, tf.Tensor], Metrics]:
    """Many steps in one call from Python.

    Args:
        step: the result of `build_step`.
        dtype: the dtype of the metrics.

    Returns:
        A function of (iterator over pairs of global batches, number of steps). It returns each metric as one tensor
        [steps]. The result does not depend on how the steps are divided into calls.
    """
    names: list[str] = []  # known once the loop has been traced

    def next_step(iterator: tf.data.Iterator) -> tf.Tensor:
        # A function of its own, because AutoGraph cannot carry per-replica values through a loop.
        real_a, real_b = next(iterator)
        metrics = step(real_a, real_b)
        names.clear()
        names.extend(metrics)
        return tf.stack(list(metrics.values()))

    @tf.function  # type: ignore[untyped-decorator]
    def steps(iterator: tf.data.Iterator, num_steps: tf.Tensor) -> Metrics:
        rows = tf.TensorArray(dtype, size=num_steps)
        for index in tf.range(num_steps):
            rows = rows.write(index, next_step(iterator))
        columns = tf.unstack(tf.transpose(rows.stack()), num=len(names))
        return dict(zip(names, columns, strict=True))

    return steps  # type: ignore[no-any-return]
