"""A trace of a few steps for TensorBoard's profiler."""

import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from cyclegan.errors import first_line
from cyclegan.training.hooks import Hook
from cyclegan.training.pacing import Made, MakeSteps

TRACED_STEPS = 5


class Trace(Hook):
    """Makes steps, and traces some of them. The first call is not traced, because it would show compiling.

    A trace that cannot be written does not cost the training.

    Args:
        make_steps: makes steps.
        folder: the run directory, which gets the trace.
        say: called with a line that says where the trace is, or why there is none.
        max_bad_steps: the training ends after so many bad steps in a row.
    """

    def __init__(self, make_steps: MakeSteps, folder: pathlib.Path, say: Callable[[str], None], max_bad_steps: int):
        self._make_steps, self._folder, self._say, self._max_bad_steps = make_steps, folder, say, max_bad_steps
        self._left = TRACED_STEPS
        self._is_first = True
        self._is_tracing = False

    def __call__(self, num_steps: int) -> Made:
        """Makes steps. A call in which the trace ends is made in two parts, so that nothing else is in the trace."""
        if not (self._is_first or self._is_tracing) and self._left:
            self._start()
        self._is_first = False
        if not self._is_tracing:
            return self._make_steps(num_steps)
        num_traced = min(self._left, num_steps)
        first = self._make_steps(num_traced)
        self._left -= num_traced
        if not self._left:
            self._stop()
        if num_traced == num_steps or first.bad_streak >= self._max_bad_steps:
            return first
        rest = self._make_steps(num_steps - num_traced)
        metrics = {tag: np.concatenate([values, rest.metrics[tag]]) for tag, values in first.metrics.items()}
        is_taken, is_bad = (
            np.concatenate(pair) for pair in ((first.is_taken, rest.is_taken), (first.is_bad, rest.is_bad))
        )
        return Made(metrics, is_taken, is_bad, rest.bad_streak)

    def close(self) -> None:
        """Ends a trace of fewer steps, and says so if there is none."""
        if self._is_tracing:
            self._stop()
        elif self._left == TRACED_STEPS:
            self._say("There is no trace, because the training ended with its first call of TensorFlow.")

    def _start(self) -> None:
        try:
            tf.profiler.experimental.start(str(self._folder))
            self._is_tracing = True
        except tf.errors.OpError as error:  # as where another profiler is at work
            self._left = 0
            self._say(f"There is no trace: {first_line(error)}")

    def _stop(self) -> None:
        self._is_tracing = False
        try:
            tf.profiler.experimental.stop()  # the files are written here
            self._say(f"A trace of {TRACED_STEPS - self._left} steps is in {self._folder / 'plugins' / 'profile'}.")
        except tf.errors.OpError as error:
            self._say(f"There is no trace: {first_line(error)}")
