"""When something is due, and how many steps TensorFlow makes before it returns to Python."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from cyclegan.config.sections import TrainingConfig
from cyclegan.training.hooks import Call

SECONDS_PER_CALL = 1.0
"""How long a call lasts with `steps_per_call: auto`. Ctrl-C and the progress bar wait no longer than this."""

MAX_STEPS_PER_CALL = 100

FULL_RATE_SAMPLES = 20
"""After this many pictures, the distance between two pictures doubles each time that the number of steps doubles."""


class Made(NamedTuple):
    """What came of some steps.

    Attributes:
        metrics: the values of each metric, [steps], by its tag.
        is_taken: for each step, whether it was finite, and so was taken: bool [steps].
        is_bad: for each step, whether it was not taken, and not because of a loss scale that was lowered: bool [steps].
        bad_streak: how many steps were bad since one was taken.
    """

    metrics: dict[str, np.ndarray]
    is_taken: np.ndarray
    is_bad: np.ndarray
    bad_streak: int


MakeSteps = Callable[[int], Made]
"""Makes a number of steps, or fewer if too many in a row are bad."""


def sample_interval(step: int, every: int) -> int:
    """The distance, in steps, between pictures around `step`, which is at least 1.

    It is `every` for the first 20 pictures. Then it doubles each time that the number of steps doubles, which makes ten
    pictures until the next time. So a run of any length has 20 + 10 * log2(steps / (20 * every)) pictures or less.
    """
    interval = every
    while step > FULL_RATE_SAMPLES * interval:
        interval *= 2
    return interval


def is_sample_due(step: int, every: int) -> bool:
    """Whether a picture is due after `step` completed steps."""
    return step % sample_interval(step, every) == 0


class Pacing:
    """Decides how many steps each call makes, so that it ends where something is due and lasts about a second.

    Args:
        training: `steps_per_call`, and the intervals at which something is due.
        last_step: the number of steps of the complete run.
    """

    def __init__(self, training: TrainingConfig, last_step: int):
        self._fixed = None if training.steps_per_call == "auto" else training.steps_per_call
        self._training = training
        self._last_step = last_step
        self._seconds_per_step: float | None = None
        self._is_first = True
        self._saved_at = time.monotonic()

    def next_length(self, done: int) -> int:
        """The number of steps of the next call, where `done` steps of the run are complete."""
        training = self._training
        if self._fixed is not None:
            length = self._fixed
        elif self._seconds_per_step is None:
            length = 1
        else:
            length = min(MAX_STEPS_PER_CALL, max(1, int(SECONDS_PER_CALL / self._seconds_per_step)))
        periods = [training.log_every_steps, sample_interval(done + 1, training.sample_every_steps)]
        if training.checkpoint_every_steps:
            periods.append(training.checkpoint_every_steps)
        due = min(period - done % period for period in periods)
        return max(0, min(length, due, self._last_step - done))

    def is_checkpoint(self, step: int) -> bool:
        """Whether a checkpoint is due at `step`. The end of the run is not one. By time, it is due once."""
        if step >= self._last_step:
            return False
        if every := self._training.checkpoint_every_steps:
            return step % every == 0
        now = time.monotonic()
        if now - self._saved_at < 60 * self._training.checkpoint_every_minutes:
            return False
        self._saved_at = now
        return True

    def timed(self, make_steps: MakeSteps, done: int, num_steps: int) -> tuple[Call, int]:
        """Makes `num_steps` steps in one call, where `done` steps of the run are complete.

        Returns:
            The call, and how many steps were bad since one was taken.
        """
        start = time.perf_counter()
        metrics, is_taken, is_bad, bad_streak = make_steps(num_steps)
        seconds = time.perf_counter() - start
        skipped = {done + 1 + index: _spoiled(metrics, index) for index in np.flatnonzero(~is_taken).tolist()}
        overflown = tuple((done + 1 + np.flatnonzero(~is_taken & ~is_bad)).tolist())
        call = Call(done + len(is_taken), metrics, seconds, self._is_first, skipped, overflown)
        if not self._is_first:  # the first call also traces and compiles
            self._seconds_per_step = seconds / len(is_taken)
        self._is_first = False
        return call, bad_streak


def _spoiled(metrics: Mapping[str, np.ndarray], index: int) -> str:
    """What was not finite in the step with this index."""
    return next(
        (tag for tag, values in metrics.items() if not np.isfinite(values[index])), "a gradient or a new weight"
    )
