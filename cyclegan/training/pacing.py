"""How long Python leaves TensorFlow to itself."""

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from cyclegan.config.config import Config

SECONDS_PER_CALL = 1.0
"""How long TensorFlow is left to itself with `steps_per_call: auto`: Ctrl-C and the progress bar wait no longer."""

MAX_STEPS_PER_CALL = 100

StepMany = Callable[[tf.data.Iterator, tf.Tensor], tf.Tensor]


class Pacing:
    """How many steps each call from Python makes, so that it ends where something is due and lasts about a second.

    Args:
        config: `steps_per_call`, and the intervals at which something is due.
        last_step: where the run ends.

    Attributes:
        warm: whether a call has been made; the first one also traces and compiles.
        seconds: how long the last call took.
    """

    def __init__(self, config: Config, last_step: int):
        training = config.training
        self._fixed = None if training.steps_per_call == "auto" else training.steps_per_call
        self._periods = (
            training.log_every_steps,
            training.sample_every_steps,
            training.checkpoint_every_steps,
        )
        self._last_step = last_step
        self._seconds_per_step: float | None = None
        self.warm = False
        self.seconds = 0.0

    def next_length(self, done: int) -> int:
        """Number of steps of the next call, `done` of the run being complete."""
        if self._fixed is not None:
            length = self._fixed
        elif self._seconds_per_step is None:
            length = 1
        else:
            length = min(MAX_STEPS_PER_CALL, max(1, int(SECONDS_PER_CALL / self._seconds_per_step)))
        due = min(period - done % period for period in self._periods)
        return min(length, due, self._last_step - done)

    def timed(self, step_many: StepMany, iterator: tf.data.Iterator, num_steps: int) -> np.ndarray:
        """Makes the call; the metrics [num_steps, len(METRICS)]."""
        start = time.perf_counter()
        metrics = step_many(iterator, tf.constant(num_steps)).numpy()
        self.seconds = time.perf_counter() - start
        if self.warm:
            self._seconds_per_step = self.seconds / num_steps
        self.warm = True
        return metrics
