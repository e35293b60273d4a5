"""When something is due, and how many steps TensorFlow makes before it returns to Python."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from cyclegan.config.config import Config
from cyclegan.training.hooks import Call

SECONDS_PER_CALL = 1.0
"""How long a call lasts with `steps_per_call: auto`. Ctrl-C and the progress bar wait no longer than this."""

MAX_STEPS_PER_CALL = 100

MAX_EVALUATION_PART = 0.05
"""Evaluations that are due by time take at most this part of the time of a session, as far as those before tell."""

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
        config: `training.steps_per_call`, and the intervals at which something is due.
        last_step: the number of steps of the complete run.
        steps_per_epoch: the number of steps of an epoch, for `evaluation.every_epochs`.
    """

    def __init__(
        self,
        config: Config,
        last_step: int,
        steps_per_epoch: int = 1,
    ):
        training, evaluation = config.training, config.evaluation
        self._fixed = None if training.steps_per_call == "auto" else training.steps_per_call
        self._training = training
        self._last_step = last_step
        self._seconds_per_step: float | None = None
        self._is_first = True
        self._saved_at = self._evaluated_at = time.monotonic()
        self._is_scored, self._evaluation, self._evaluation_seconds = config.is_scored, evaluation, 0.0
        epochs = evaluation.every_epochs and evaluation.every_epochs * steps_per_epoch
        self._evaluation_steps = config.is_scored and (evaluation.every_steps or epochs)
        self._examination_steps = config.health.every_steps

    def next_length(self, done: int) -> int:
        """The number of steps of the next call, where `done` steps of the run are complete."""
        training = self._training
        if self._fixed is not None:
            length = self._fixed
        elif self._seconds_per_step is None:
            length = 1
        else:
            length = min(MAX_STEPS_PER_CALL, max(1, int(SECONDS_PER_CALL / self._seconds_per_step)))
        samples = sample_interval(done + 1, training.sample_every_steps)
        periods = [training.log_every_steps, samples, self._examination_steps]
        periods += [every for every in (training.checkpoint_every_steps, self._evaluation_steps) if every]
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

    def is_evaluation(self, step: int) -> bool:
        """Whether the run is to be scored after `step` steps. At its end it is. By time, it is due once."""
        if not self._is_scored:
            return False
        if step >= self._last_step:
            return True
        if self._evaluation_steps:
            return step % self._evaluation_steps == 0
        distance = max(60 * self._evaluation.every_minutes, self._evaluation_seconds / MAX_EVALUATION_PART)
        return time.monotonic() - self._evaluated_at >= distance

    def evaluated(self, seconds: float) -> None:
        """Takes note of an evaluation that has just been made, and of how long it took."""
        self._evaluated_at, self._evaluation_seconds = time.monotonic(), seconds

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
