"""The loop: calls of TensorFlow one after the other, and the hooks around them."""

import contextlib
from collections.abc import Callable, Sequence

import numpy as np

from cyclegan.errors import CycleganError
from cyclegan.training.hooks import Call, Hook
from cyclegan.training.pacing import Pacing


def iterate(
    make_steps: Callable[[int], dict[str, np.ndarray]],
    first_step: int,
    last_step: int,
    pacing: Pacing,
    hooks: Sequence[Hook],
    should_stop: Callable[[], bool],
) -> int:
    """Trains until `last_step`, or until it is asked to stop.

    Args:
        make_steps: makes a number of steps and returns the values of each metric, [steps], by its tag.
        first_step: the number of completed steps of the run.
        last_step: the number of steps of the complete run.
        pacing: decides how many steps a call makes.
        hooks: called in this order. At a checkpoint `at_checkpoint` of all hooks comes before `after_call` of any,
            so that nothing that is shown can cost the checkpoint. All of them are closed, whatever fails.
        should_stop: asked between two calls.

    Returns:
        The number of completed steps.

    Raises:
        CycleganError: if a metric is not finite, or if a hook cannot go on.
    """
    call = Call(first_step, {}, 0.0, False)
    with contextlib.ExitStack() as closing:
        for hook in reversed(hooks):
            closing.callback(hook.close)
        while call.step < last_step and not should_stop():
            call = pacing.timed(make_steps, call.step, pacing.next_length(call.step))
            _refuse_divergence(call)
            if pacing.is_checkpoint(call.step):
                for hook in hooks:
                    hook.at_checkpoint(call)
            for hook in hooks:
                hook.after_call(call)
        for hook in hooks:
            hook.at_end(call)
    return call.step


def _refuse_divergence(call: Call) -> None:
    bad = {tag: np.flatnonzero(~np.isfinite(values)) for tag, values in call.metrics.items()}
    if found := [(int(indices[0]), tag) for tag, indices in bad.items() if len(indices)]:
        index, tag = min(found, key=lambda entry: entry[0])
        raise CycleganError(
            f"Training diverged: {tag} is not finite at step {call.step - call.num_steps + index + 1}."
            " Start a new run with a lower `optimizer.learning_rate`, or with `training.precision: float32`."
        )
