"""The training step: compute -> decide -> commit.

Each replica computes the gradients of its batch, and from their sum the new value of everything that a step changes.
Until then nothing is assigned. If every new value is finite on every replica, all of them are assigned. Otherwise the
step is skipped: it is counted, and everything else stays what it was. What is computed is pure: it can be computed
twice, timed, or thrown away. XLA can compile the gradients and the update, but not the sum over the replicas between
them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.errors import UsageError
from cyclegan.training.accumulation import accumulate_gradients
from cyclegan.training.gradients import Gradients, Metrics, compute_gradients
from cyclegan.training.loss_scaling import Scales, adapt, present_scales
from cyclegan.training.state import State
from cyclegan.training.update import Update

MOMENT_STEPS = 1e6
"""The squared gradients of so many steps must have a finite sum in float32."""

Compute = Callable[[tf.Tensor, tf.Tensor], Gradients]
"""The gradients of the calling replica for its images (real_a, real_b)."""


def synchronises_replicas(config: Config, strategy: tf.distribute.Strategy) -> bool:
    """Whether a replica needs the images of the others, as batch normalization on several replicas does."""
    normalizations = (config.generator.normalization, config.discriminator.normalization)
    return strategy.num_replicas_in_sync > 1 and "batch" in normalizations


def gradients_of(config: Config) -> Callable[..., Gradients]:
    """The function that computes the gradients of a batch: in one go, or in parts that are summed."""
    return accumulate_gradients if config.training.accumulate_steps > 1 else compute_gradients


def build_gradients(state: State, config: Config, strategy: tf.distribute.Strategy, jit_compile: bool) -> Compute:
    """Makes `compute_gradients` a function of (real_a, real_b), which each replica calls.

    Args:
        state: the networks whose gradients are computed.
        config: the whole configuration.
        strategy: the strategy under which `state` was built.
        jit_compile: whether XLA compiles the function.

    Raises:
        ValueError: if XLA cannot compile it, because the replicas synchronise in it.
        UsageError: if the replicas synchronise in it and gradients are to be accumulated.
    """
    if jit_compile and synchronises_replicas(config, strategy):
        raise ValueError("XLA cannot compile batch normalization over several replicas.")
    if config.training.accumulate_steps > 1 and synchronises_replicas(config, strategy):
        raise UsageError(
            "`training.accumulate_steps` must be 1 for batch normalization on several replicas, which synchronise in"
            f" it. Received: {config.training.accumulate_steps}. Use another normalization, or one replica."
        )

    def gradients(real_a: tf.Tensor, real_b: tf.Tensor, replica: tf.Tensor) -> Gradients:
        return gradients_of(config)(state, config, real_a, real_b, replica, strategy.num_replicas_in_sync)

    # Replicas cannot synchronise inside a `tf.function` that each of them calls by itself.
    compiled = tf.function(gradients, jit_compile=jit_compile, autograph=False)
    function = gradients if synchronises_replicas(config, strategy) else compiled

    def in_replica(real_a: tf.Tensor, real_b: tf.Tensor) -> Gradients:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return function(real_a, real_b, tf.convert_to_tensor(replica))

    return in_replica


Pools = Sequence[tuple[tf.Tensor, tf.Tensor]]
"""The new images and their number of both pools."""


def new_pools(state: State, gradients: Gradients) -> Pools:
    """What the pools of the calling replica hold after a step."""
    return [state.pool_a.updated(gradients.pool_a), state.pool_b.updated(gradients.pool_b)]


def commit(state: State, gradients: Gradients, update: Update, pools: Pools) -> None:
    """Assigns everything that a step changes, and counts the step.

    Nothing is computed here. An assignment takes its tensor over without new memory, so none of them can fail halfway.
    """
    pairs = [
        *zip(state.generator_variables, update.generators, strict=True),
        *zip(state.discriminator_variables, update.discriminators, strict=True),
        *zip(_flat(state.generator_moments), _flat(update.generator_moments), strict=True),
        *zip(_flat(state.discriminator_moments), _flat(update.discriminator_moments), strict=True),
        *zip(state.average_variables, update.averages, strict=True),
        *zip(state.statistics, gradients.statistics, strict=True),
    ]
    for variable, value in pairs:
        variable.assign(value)
    for pool, (images, count) in zip((state.pool_a, state.pool_b), pools, strict=True):
        pool.images.assign(images)
        pool.count.assign(count)
    state.step.assign_add(1)
    state.samples.assign_add(state.global_batch)
    state.bad_streak.assign(tf.zeros([], tf.int64))


def skip(state: State, is_bad: tf.Tensor) -> None:
    """Counts a step that is not taken, and whether it is bad. Its images are not shown again before the next epoch."""
    for counter, number in (
        (state.step, 1),
        (state.samples, state.global_batch),
        (state.skipped, 1),
        (state.bad_streak, tf.cast(is_bad, tf.int64)),
    ):
        counter.assign_add(number)


def _named_scales(scales: Scales) -> Metrics:
    return {f"loss_scale/{name}": value for name, value in scales._asdict().items()}


def _flat(moments: Sequence[tuple[tf.Tensor, ...]]) -> list[tf.Tensor]:
    return [moment for own in moments for moment in own]


def is_step_finite(gradients: Gradients, update: Update) -> tf.Tensor:
    """Whether the gradients, and everything that the step would assign, are finite on this replica: a bool scalar.

    A sum is finite only if all its terms are, so one sum takes the place of a comparison for each value. The moments
    need no look of their own: they are sums of gradients and of their squares over at most so many steps as
    `MOMENT_STEPS`, and the sum of the squares of one step is among these sums. XLA would add the terms one after the
    other, so this is not a part of the update.
    """
    values = [*update.generators, *update.discriminators, *gradients.statistics, *gradients.metrics.values()]
    sums = [
        MOMENT_STEPS * tf.cast(tf.nn.l2_loss(gradient), tf.float32)
        for gradient in (*gradients.generators, *gradients.discriminators)
    ]
    sums += [tf.reduce_sum(value) for value in (*values, gradients.pool_a.fakes, gradients.pool_b.fakes)]
    return _are_finite(sums)


def _are_finite(scalars: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.reduce_all(tf.math.is_finite(tf.stack([tf.cast(value, tf.float32) for value in scalars])))


class StepResult(NamedTuple):
    """What came of a step.

    Attributes:
        metrics: summed over the replicas.
        is_taken: whether everything was finite, bool. Otherwise the step has been counted, and nothing else assigned.
        is_bad: whether it was not taken, and not because of a loss scale that has been lowered now, bool.
    """

    metrics: Metrics
    is_taken: tf.Tensor
    is_bad: tf.Tensor


def build_step(
    state: State, strategy: tf.distribute.Strategy, gradients: Compute, update: Callable[[Gradients], Update]
) -> Callable[[tf.Tensor, tf.Tensor], StepResult]:
    """The training step on all replicas.

    Args:
        state: the state that the step advances.
        strategy: the strategy under which `state` was built.
        gradients: the result of `build_gradients` for the same state.
        update: the result of `build_update` for the same state.

    Returns:
        A function of (real_a, real_b), each the global batch as the strategy distributes it. Call it inside a
        `tf.function`.
    """

    def replica_step(real_a: tf.Tensor, real_b: tf.Tensor) -> StepResult:
        replicas = tf.distribute.get_replica_context()

        def total(values: Any) -> Any:
            return replicas.all_reduce(tf.distribute.ReduceOp.SUM, values)

        own = gradients(real_a, real_b)
        summed = own._replace(**total({"generators": own.generators, "discriminators": own.discriminators}))
        new = update(summed)
        counts = [tf.cast(~is_step_finite(summed, new), own.pool_a.fakes.dtype), *own.overflows]
        sums = tf.unstack(total(tf.stack([*own.metrics.values(), *counts])))
        metrics = dict(zip(own.metrics, sums, strict=False))
        is_bad, *has_overflown = [count > 0 for count in sums[len(own.metrics) :]]  # the same on all replicas
        is_taken = ~is_bad
        if state.loss_scale:
            # No scale touches the losses, so a smaller one does not help where these are not finite.
            can_help = _are_finite(list(metrics.values()))
            metrics |= _named_scales(present_scales(state.loss_scale))
            is_bad &= ~adapt(state.loss_scale, tf.stack(has_overflown) & can_help, is_taken)
        pools = new_pools(state, own)
        tf.cond(is_taken, lambda: commit(state, summed, new, pools), lambda: skip(state, is_bad))
        return StepResult(metrics, is_taken, is_bad)

    def step(real_a: tf.Tensor, real_b: tf.Tensor) -> StepResult:
        # Every replica returns the same values, so those of the first one are the result.
        results = strategy.run(replica_step, args=(real_a, real_b))
        return tf.nest.map_structure(  # type: ignore[no-any-return]
            lambda value: strategy.experimental_local_results(value)[0], results
        )

    return step


def build_steps(
    step: Callable[[tf.Tensor, tf.Tensor], StepResult], state: State, dtype: str, max_bad_steps: int
) -> Callable[[tf.data.Iterator, tf.Tensor], tuple[StepResult, tf.Tensor]]:
    """Many steps in one call from Python.

    Args:
        step: the result of `build_step`.
        state: the state that the step advances.
        dtype: the dtype of the metrics.
        max_bad_steps: the call ends with the last of so many bad steps, between which none was taken.

    Returns:
        A function of (iterator over pairs of global batches, number of steps). It returns what came of them, each
        value as one tensor [steps], and how many steps were bad since one was taken. The result does not depend on how
        the steps are divided into calls.
    """
    names: list[str] = []  # known once the loop has been traced

    def next_step(iterator: tf.data.Iterator) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # A function of its own, because AutoGraph cannot carry per-replica values through a loop.
        real_a, real_b = next(iterator)
        metrics, is_taken, is_bad = step(real_a, real_b)
        names.clear()
        names.extend(metrics)
        return tf.stack(list(metrics.values())), is_taken, is_bad

    @tf.function  # type: ignore[untyped-decorator]
    def steps(iterator: tf.data.Iterator, num_steps: tf.Tensor) -> tuple[StepResult, tf.Tensor]:
        rows = tf.TensorArray(dtype, size=0, dynamic_size=True)
        taken, bad = (tf.TensorArray(tf.bool, size=0, dynamic_size=True) for _ in range(2))
        bad_streak = state.bad_streak % max_bad_steps  # the largest number may be lower than in the session before
        index = 0
        while bad_streak < max_bad_steps and index < num_steps:
            row, is_taken, is_bad = next_step(iterator)
            rows, taken, bad = rows.write(index, row), taken.write(index, is_taken), bad.write(index, is_bad)
            bad_streak = tf.where(is_taken, tf.zeros_like(bad_streak), bad_streak + tf.cast(is_bad, tf.int64))
            index += 1
        columns = tf.unstack(tf.transpose(rows.stack()), num=len(names))
        return StepResult(dict(zip(names, columns, strict=True)), taken.stack(), bad.stack()), bad_streak

    return steps  # type: ignore[no-any-return]
