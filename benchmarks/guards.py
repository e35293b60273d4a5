"""What it costs to look at each step before it is taken: its time with the guards over its time without them.

python benchmarks/guards.py                                  64 px, 6 blocks, 32 filters, uncompiled
python benchmarks/guards.py --size 128 --blocks 9 --filters 64 --steps 1

Both forms run alternately in one process. Without the guards a step assigns its new values whatever they are.
"""

import statistics
import time
from collections.abc import Callable

import click
from comparison import describe_ratio, prepare_step


@click.command()
@click.option("--size", default=64, help="Pixels of a side.")
@click.option("--blocks", default=6, help="Residual blocks of the generators.")
@click.option("--filters", default=32, help="Filters of all networks.")
@click.option("--steps", default=10, help="Steps that are timed together.")
@click.option("--rounds", default=30, help="Timed rounds of each form.")
def main(size: int, blocks: int, filters: int, steps: int, rounds: int) -> None:
    """Times training steps with and without the guards, and prints the ratio."""
    timed = _prepare(size, blocks, filters, steps)
    pairs = []
    for number in range(1 + rounds):
        order = (True, False) if number % 2 else (False, True)
        seconds = {guarded: timed(guarded) for guarded in order}
        if number:  # the first round fills the memory
            pairs.append((seconds[True], seconds[False]))
    guarded, bare = (statistics.median(column) / steps for column in zip(*pairs, strict=True))
    click.echo(f"seconds a step: {guarded:.4f} with the guards, {bare:.4f} without, medians of {rounds} rounds")
    click.echo(f"ratio with / without: {describe_ratio(pairs)}")


def _prepare(size: int, blocks: int, filters: int, steps: int) -> Callable[[bool], float]:
    """A function that returns the seconds of some steps, with or without the guards."""
    from cyclegan.runtime.allocator import keep_freed_memory

    keep_freed_memory()
    import tensorflow as tf

    from cyclegan.training.gradients import Metrics
    from cyclegan.training.length import run_length
    from cyclegan.training.state import build_state
    from cyclegan.training.step import StepResult, build_gradients, build_step, build_steps, commit, new_pools
    from cyclegan.training.update import build_update

    config, strategy, iterator = prepare_step(size, blocks, filters)

    def timed(guarded: bool) -> float:
        function = functions[guarded]
        start = time.perf_counter()
        for value in tf.nest.flatten(function(iterator, tf.constant(steps))):
            value.numpy()
        return time.perf_counter() - start

    functions = {}
    for is_guarded in (False, True):
        state = build_state(config, strategy, run_length(config.training, 100, 1))
        gradients = build_gradients(state, config, strategy, jit_compile=False)
        update = build_update(state, config, jit_compile=False)

        def unguarded(real_a: tf.Tensor, real_b: tf.Tensor) -> StepResult:
            def in_replica() -> Metrics:
                own = gradients(real_a, real_b)  # noqa: B023 - it is traced before the next turn
                commit(state, own, update(own), new_pools(state, own))  # noqa: B023
                return own.metrics

            return StepResult(strategy.run(in_replica), tf.constant(True), tf.constant(False))

        step = build_step(state, strategy, gradients, update) if is_guarded else unguarded
        functions[is_guarded] = build_steps(step, state, "float32", config.training.max_bad_steps)
        timed(is_guarded)  # traces
    return timed


if __name__ == "__main__":
    main()
