"""A trace of a few steps for TensorBoard's profiler."""

import pathlib

import tensorflow as tf

from cyclegan.training.hooks import Call, Hook
from cyclegan.training.reporting.progress import Progress

TRACED_STEPS = 5


class Trace(Hook):
    """Traces the second call, of at most `TRACED_STEPS` steps. The first call would show the compilation.

    Args:
        folder: the run directory.
        progress: told where the trace is.
    """

    def __init__(self, folder: pathlib.Path, progress: Progress):
        self._folder, self._progress = folder, progress
        self._num_calls = 0

    def before_call(self, num_steps: int) -> int:
        """Starts the trace before the second call."""
        if self._num_calls != 1:
            return num_steps
        tf.profiler.experimental.start(str(self._folder))
        return min(TRACED_STEPS, num_steps)

    def after_call(self, call: Call) -> None:
        """Ends the trace after the second call."""
        self._num_calls += 1
        if self._num_calls == 2:
            tf.profiler.experimental.stop()
            self._progress.line(f"Trace of {call.num_steps} steps in {self._folder / 'plugins' / 'profile'}.")
