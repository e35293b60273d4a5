"""What happens around the loop: one small interface for saving, showing, and what is still to come."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Call(NamedTuple):
    """One call from Python to TensorFlow, which makes one or more steps.

    Attributes:
        step: the number of completed steps of the run after the call.
        metrics: the values of each metric, [steps of the call], by its tag.
        seconds: how long the call took.
        is_first: whether it is the first call of this process, which also traces and compiles.
        skipped: the steps of the call that were not finite and therefore changed nothing, counted as `step` counts,
            each with the name of what was not finite.
        overflown: those of them in which a number was too large for float16, so that the loss scale has been lowered.
    """

    step: int
    metrics: dict[str, np.ndarray]
    seconds: float
    is_first: bool
    skipped: Mapping[int, str] = {}
    overflown: Sequence[int] = ()

    @property
    def num_steps(self) -> int:
        """The number of steps that the call made, with those that it skipped."""
        return len(next(iter(self.metrics.values()), ()))

    @property
    def is_good(self) -> bool:
        """Whether the call took a step that was finite."""
        return len(self.skipped) < self.num_steps


def mean_metrics(calls: Sequence[Call]) -> dict[str, float]:
    """The mean of each metric over all steps of at least one call that were taken, by its tag; NaN if none was."""
    is_taken = np.array(
        [step not in call.skipped for call in calls for step in range(call.step - call.num_steps + 1, call.step + 1)]
    )
    means = {}
    for tag in calls[-1].metrics:
        values = np.concatenate([call.metrics[tag] for call in calls])[is_taken]
        means[tag] = float(values.mean()) if len(values) else math.nan
    return means


class Hook:
    """Something that happens around the loop. A method that is not overridden does nothing.

    `is_over` says whether the run should end here, before its last step, and `is_spoiled` whether it is then not worth
    saving. They are asked after each call, and must be the same on all processes.
    """

    is_over = False
    is_spoiled = False

    def at_checkpoint(self, call: Call) -> None:
        """Called where the run is to be saved, after `call`, before `after_call` of any hook."""

    def at_end(self, call: Call) -> None:
        """Called once, after the last call of the run or of the session.

        That is before `after_call` of any hook, except where a hook ends the run, or where the input of a later call
        fails. In the latter case the run may be some steps further than `call`.
        """

    def at_evaluation(self, call: Call) -> None:
        """Called where the run is to be scored, after `call` and after the saving, before `after_call` of any hook."""

    def after_call(self, call: Call) -> None:
        """Called after each call."""

    def at_divergence(self, call: Call) -> None:
        """Called instead of `after_call` where too many steps in a row were not finite, before `close`."""

    def close(self) -> None:
        """Called last, also when the training failed."""
