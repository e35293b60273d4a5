"""A trace of a few steps for TensorBoard's profiler."""

import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

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
        tf.profiler.experimental.start(str(folder))
        try:
            first, is_finite = make_steps(num_traced)
        finally:
            tf.profiler.experimental.stop()
        say(f"Trace of {num_traced} steps in {folder / 'plugins' / 'profile'}.")
        if num_traced == num_steps or not is_finite:
            return first, is_finite
        rest, is_finite = make_steps(num_steps - num_traced)
        return {tag: np.concatenate([values, rest[tag]]) for tag, values in first.items()}, is_finite

    return make_and_trace
