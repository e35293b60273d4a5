"""A trace of a few steps for TensorBoard's profiler."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from cyclegan.errors import first_line
from cyclegan.training.pacing import MakeSteps

TRACED_STEPS = 5


def traced(make_steps: MakeSteps, folder: pathlib.Path, say: Callable[[str], None]) -> MakeSteps:
    """The same function, which also traces the first steps of its second call. The first call would show compiling.

    Args:
        make_steps: makes steps.
        folder: the run directory, which gets the trace.
        say: called with a line that says where the trace is.
    """
    num_calls = 0

    def make_and_trace(num_steps: int) -> tuple[dict[str, np.ndarray], bool]:
        nonlocal num_calls
        num_calls += 1
        if num_calls != 2:
            return make_steps(num_steps)
        num_traced = min(TRACED_STEPS, num_steps)
        with _profiler(folder, num_traced, say):
            first, is_finite = make_steps(num_traced)
        if num_traced == num_steps or not is_finite:
            return first, is_finite
        rest, is_finite = make_steps(num_steps - num_traced)
        return {tag: np.concatenate([values, rest[tag]]) for tag, values in first.items()}, is_finite

    return make_and_trace


@contextlib.contextmanager
def _profiler(folder: pathlib.Path, num_steps: int, say: Callable[[str], None]) -> Iterator[None]:
    """Traces a block of steps, and says where the trace is. A trace that cannot be written costs no training."""
    try:
        tf.profiler.experimental.start(str(folder))
    except tf.errors.OpError as error:  # as where another profiler is at work
        say(f"There is no trace: {first_line(error)}")
        yield
        return
    try:
        yield
    finally:
        try:
            tf.profiler.experimental.stop()
        except tf.errors.OpError as error:  # the files are written here
            say(f"There is no trace: {first_line(error)}")
        else:
            say(f"Trace of {num_steps} steps in {folder / 'plugins' / 'profile'}.")
