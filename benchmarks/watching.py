"""What it costs to look at a run: the examination beside 500 steps, and an evaluation beside an epoch.

    python benchmarks/watching.py                             64 px, 6 blocks, 32 filters, 120 images a domain
    python benchmarks/watching.py --size 128 --blocks 9 --filters 64 --images 120 --epoch 1334

Steps, examinations and evaluations are timed in turn in one process, on images of noise.
"""

import statistics
import time
from collections.abc import Callable

import click
from comparison import prepare_step

EXAMINATION_STEPS = 500


@click.command()
@click.option("--size", default=64, help="Pixels of a side.")
@click.option("--blocks", default=6, help="Residual blocks of the generators.")
@click.option("--filters", default=32, help="Filters of all networks.")
@click.option("--images", default=120, help="Validation images of each domain.")
@click.option("--epoch", default=1334, help="Steps of an epoch.")
@click.option("--features", help="The extractor, as for `cyclegan evaluate`. [none: SWD alone]")
@click.option("--rounds", default=5, help="Timed rounds.")
def main(size: int, blocks: int, filters: int, images: int, epoch: int, features: str | None, rounds: int) -> None:
    """Prints medians and shares."""
    kinds = _prepare(size, blocks, filters, images, features)
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(1 + rounds):
        for name, run in kinds.items():
            start = time.perf_counter()
            run()
            if number:  # the first round traces
                seconds[name].append(time.perf_counter() - start)
    step, examination, evaluation = (statistics.median(times) for times in seconds.values())
    click.echo(f"a step {step:.3f} s, an examination {examination:.3f} s, an evaluation {evaluation:.2f} s")
    click.echo(
        f"an examination every {EXAMINATION_STEPS} steps: {examination / (EXAMINATION_STEPS * step):.2%} of the time"
    )
    click.echo(f"an evaluation each epoch of {epoch} steps: {evaluation / (epoch * step):.2%} of the time")


def _prepare(
    size: int, blocks: int, filters: int, images: int, features: str | None
) -> dict[str, Callable[[], object]]:
    from cyclegan.runtime.allocator import keep_freed_memory

    keep_freed_memory()
    import numpy as np
    import tensorflow as tf

    from cyclegan.evaluation.extractors import load_extractor
    from cyclegan.evaluation.validation import Images, Validator
    from cyclegan.training.health import examination_of
    from cyclegan.training.length import run_length
    from cyclegan.training.state import build_state
    from cyclegan.training.step import build_gradients, build_step, build_steps
    from cyclegan.training.update import build_update

    config, strategy, iterator = prepare_step(size, blocks, filters)
    state = build_state(config, strategy, run_length(config.training, 100, 1))
    gradients, update = build_gradients(state, config, strategy, False), build_update(state, config, False)
    steps = build_steps(build_step(state, strategy, gradients, update), state, "float32", 10)
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, images, size, size, 3)).astype(np.float32)
    extractor = load_extractor(features, size) if features else None
    validator = Validator(Images(a, b, a, b), *state.translators, extractor, seed=0)

    def step() -> object:
        return steps(iterator, tf.constant(1))[1].numpy()

    return {
        "step": step,
        "examination": examination_of(state.generator_ab, state.generator_ba, a[:8], b[:8]),
        "evaluation": validator.scores,
    }


if __name__ == "__main__":
    main()
