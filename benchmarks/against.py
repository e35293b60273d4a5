"""Seconds of a training step in this checkout against another revision, as a ratio with its interval.

python benchmarks/against.py HEAD~1                       64 px, 6 blocks, 32 filters, uncompiled
python benchmarks/against.py v0.1.0 --size 128 --blocks 9 --filters 64 --steps 1 --compiled both

Both revisions run alternately, each in a process of its own, and wait for each other.
"""

import contextlib
import inspect
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import click
from comparison import describe_ratio, prepare_step

CHECKOUT = pathlib.Path(__file__).resolve().parents[1]


@click.command()
@click.argument("revision")
@click.option("--size", default=64, help="Pixels of a side.")
@click.option("--blocks", default=6, help="Residual blocks of the generators.")
@click.option("--filters", default=32, help="Filters of all networks.")
@click.option("--steps", default=10, help="Steps that are timed together.")
@click.option("--rounds", default=20, help="Timed rounds of each revision.")
@click.option("--compiled", type=click.Choice(["none", "update", "both"]), default="none", help="Parts for XLA.")
@click.option("--worker", is_flag=True, hidden=True)
def main(
    revision: str, size: int, blocks: int, filters: int, steps: int, rounds: int, compiled: str, worker: bool
) -> None:
    """Times a training step here and at REVISION, and prints the ratio here / REVISION."""
    if worker:
        _answer(size, blocks, filters, steps, compiled)
        return
    options = [f"--size={size}", f"--blocks={blocks}", f"--filters={filters}", f"--steps={steps}"]
    options += [f"--compiled={compiled}"]
    with tempfile.TemporaryDirectory() as name:
        other = pathlib.Path(name) / "other"
        git = ["git", "-C", str(CHECKOUT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(other), revision], check=True)
        try:
            with _process(CHECKOUT, options) as here, _process(other, options) as there:
                pairs = [_pair(here, there, number) for number in range(1 + rounds)][1:]
        finally:
            subprocess.run([*git, "remove", "--force", str(other)], check=True)
    ours, theirs = (statistics.median(column) / steps for column in zip(*pairs, strict=True))
    click.echo(f"seconds a step: {ours:.4f} here, {theirs:.4f} at {revision}, medians of {rounds} rounds")
    click.echo(f"ratio here / {revision}: {describe_ratio(pairs)}")


def _pair(here: subprocess.Popen[str], there: subprocess.Popen[str], number: int) -> tuple[float, float]:
    """Seconds of one round of each. They take turns in being the first."""
    order = (here, there) if number % 2 else (there, here)
    seconds = {id(process): _ask(process) for process in order}
    return seconds[id(here)], seconds[id(there)]


def _ask(process: subprocess.Popen[str]) -> float:
    assert process.stdin and process.stdout
    process.stdin.write("go\n")
    process.stdin.flush()
    return float(process.stdout.readline())


@contextlib.contextmanager
def _process(checkout: pathlib.Path, options: list[str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(pathlib.Path(__file__).resolve()), "-", "--worker", *options]
    environment = os.environ | {"PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=checkout, env=environment, text=True, stdin=pipe, stdout=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def _answer(size: int, blocks: int, filters: int, num_steps: int, compiled: str) -> None:
    """Prints the seconds of `num_steps` steps for each line of standard input."""
    with contextlib.suppress(ImportError):  # at a revision that did not have it
        from cyclegan.runtime.allocator import keep_freed_memory

        keep_freed_memory()
    import tensorflow as tf

    from cyclegan.training import step as step_module

    try:
        from cyclegan.training import update as update_module
    except ImportError:  # at a revision where both were in one module
        update_module = step_module  # type: ignore[misc]
    from cyclegan.training.length import run_length
    from cyclegan.training.state import build_state

    config, strategy, iterator = prepare_step(size, blocks, filters)
    build: Any = step_module  # whose functions had other arguments before there was an update apart from the gradients
    if build_update := getattr(update_module, "build_update", None):
        state = build_state(config, strategy, run_length(config.training, 100, 1))
        gradients = build.build_gradients(state, config, strategy, compiled == "both")
        step = build.build_step(state, strategy, gradients, build_update(state, config, compiled != "none"))
    else:
        state = build_state(config, strategy, 100)  # type: ignore[arg-type]
        step = build.build_step(
            state, config, strategy, build.build_gradients(state, config, strategy, compiled == "both")
        )
    takes_state = "state" in inspect.signature(build.build_steps).parameters
    steps = build.build_steps(step, state, "float32", 10) if takes_state else build.build_steps(step, "float32")
    for _ in sys.stdin:
        start = time.perf_counter()
        for values in tf.nest.flatten(steps(iterator, tf.constant(num_steps))):
            values.numpy()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
