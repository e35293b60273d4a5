"""How many steps TensorFlow makes before it returns to Python."""

import time
from collections.abc import Callable

import numpy as np

from cyclegan.config.sections import TrainingConfig
from cyclegan.training.hooks import Call

SECONDS_PER_CALL = 1.0
"""How long a call lasts with `steps_per_call: auto`. Ctrl-C and the progress bar wait no longer than this."""

MAX_STEPS_PER_CALL = 100


class Pacing:
    """Decides how many steps each call makes, so that it ends where something is due and lasts about a second.

    Args:
        training: `steps_per_call`, and the intervals at which something is due.
        last_step: the number of steps of the complete run.
    """

    def __init__(self, training: TrainingConfig, last_step: int):
        self._fixed = None if training.steps_per_call == "auto" else training.steps_per_call
        self._checkpoint_every_steps = training.checkpoint_every_steps
        self._periods = (
            training.log_every_steps,
            training.sample_every_steps,
            training.checkpoint_every_steps,
        )
        self._last_step = last_step
        self._seconds_per_step: float | None = None
        self._is_first = True

    def next_length(self, done: int) -> int:
        """The number of steps of the next call, where `done` steps of the run are complete."""
        if self._fixed is not None:
            length = self._fixed
        elif self._seconds_per_step is None:
            length = 1
        else:
            length = min(MAX_STEPS_PER_CALL, max(1, int(SECONDS_PER_CALL / self._seconds_per_step)))
        due = min(period - done % period for period in self._periods)
        return min(length, due, self._last_step - done)

    def is_checkpoint(self, step: int) -> bool:
        """Whether a checkpoint is due at `step`. The end of the run is not one."""
        return step % self._checkpoint_every_steps == 0 and step < self._last_step

    def timed(self, make_steps: Callable[[int], dict[str, np.ndarray]], done: int, num_steps: int) -> Call:
        """Makes `num_steps` steps in one call, where `done` steps of the run are complete."""
        start = time.perf_counter()
        metrics = make_steps(num_steps)
        seconds = time.perf_counter() - start
        call = Call(done + num_steps, metrics, seconds, self._is_first)
        if not self._is_first:  # the first call also traces and compiles
            self._seconds_per_step = seconds / num_steps
        self._is_first = False
        return call
