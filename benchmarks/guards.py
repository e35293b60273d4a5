"""What it costs to look at each step before it is taken: its time with the guards over its time without them.

python benchmarks/guards.py                                  64 px, 6 blocks, 32 filters, uncompiled
python benchmarks/guards.py --size 128 --blocks 9 --filters 64 --steps 1

Both forms run alternately in one process. Without the guards a step assigns its new values whatever they are.
"""

import statistics
import time
from collections.abc import Callable

import click
import numpy as np

RESAMPLES = 10_000


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
    for number in range(rounds):
        order = (True, False) if number % 2 else (False, True)
        seconds = {guarded: timed(guarded) for guarded in order}
        pairs.append((seconds[True], seconds[False]))
    ratios = np.array([with_guards / without for with_guards, without in pairs])
    draws = np.random.default_rng(0).choice(ratios, (RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    guarded, bare = (statistics.median(column) / steps for column in zip(*pairs, strict=True))
    click.echo(f"seconds a step: {guarded:.4f} with the guards, {bare:.4f} without, medians of {rounds} rounds")
    click.echo(f"ratio with / without: {np.median(ratios):.3f}, 95 % interval {low:.3f} to {high:.3f}")


def _prepare(size: int, blocks: int, filters: int, steps: int) -> Callable[[bool], float]:
    """A function that returns the seconds of some steps, with or without the guards."""
    from cyclegan.runtime.allocator import keep_freed_memory

    keep_freed_memory()
    import tensorflow as tf

    from cyclegan.config.files import load_config
    from cyclegan.training.gradients import Metrics
    from cyclegan.training.length import run_length
    from cyclegan.training.state import build_state
    from cyclegan.training.step import build_gradients, build_step, build_steps, build_update, commit, new_pools

    tf.config.optimizer.set_experimental_options({"remapping": False})
    keys = {
        "data.load_size": size,
        "data.crop_size": size,
        "generator.num_blocks": blocks,
        "generator.filters": filters,
    }
    config = load_config(None, list((keys | {"discriminator.filters": filters}).items()))
    strategy = tf.distribute.OneDeviceStrategy("/gpu:0" if tf.config.list_physical_devices("GPU") else "/cpu:0")
    random = np.random.default_rng(0)
    images = [tf.constant(random.uniform(-1, 1, (1, size, size, 3)), tf.float32) for _ in range(2)]
    iterator = iter(strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(tuple(images)).repeat()))

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

        def unguarded(real_a: tf.Tensor, real_b: tf.Tensor) -> tuple[Metrics, tf.Tensor]:
            def in_replica() -> Metrics:
                own = gradients(real_a, real_b)  # noqa: B023 - it is traced before the next turn
                commit(state, own, update(own), new_pools(state, own))  # noqa: B023
                return own.metrics

            return strategy.run(in_replica), tf.constant(True)

        step = build_step(state, strategy, gradients, update) if is_guarded else unguarded
        functions[is_guarded] = build_steps(step, state, "float32", config.training.max_bad_steps)
        timed(is_guarded)  # traces
    return timed


if __name__ == "__main__":
    main()
