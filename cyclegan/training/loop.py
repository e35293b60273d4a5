"""The loop: calls of TensorFlow one after the other, and the hooks around them."""

import contextlib
from collections.abc import Callable, Sequence

import numpy as np

from cyclegan.errors import CycleganError
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.hooks import Call, Hook
from cyclegan.training.length import Session
from cyclegan.training.pacing import MakeSteps, Pacing


def iterate(
    make_steps: MakeSteps,
    session: Session,
    pacing: Pacing,
    hooks: Sequence[Hook],
    should_stop: Callable[[], bool],
    cluster: Cluster,
) -> int:
    """Trains until the last step of a session, or until it is asked to stop.

    Args:
        make_steps: makes steps, as `Pacing.timed` calls it.
        session: the steps that are left.
        pacing: decides how many steps a call makes.
        hooks: called in this order. At a checkpoint and at the end, all of them save before any of them shows
            something, so that nothing that is shown can cost what was trained. All are closed, whatever fails.
        should_stop: asked between two calls. All processes stop if one of them should.
        cluster: the processes that train together. The chief decides about the calls of all.

    Returns:
        The number of completed steps.

    Raises:
        CycleganError: if a step is not finite, or if the input or a hook cannot go on.
    """

    def agree(step: int) -> tuple[bool, bool, int]:
        """Whether to stop and whether to save, after `step` completed steps, and the length of the next call."""
        own = [pacing.is_checkpoint(step), pacing.next_length(step)] if cluster.is_chief else [False, 0]
        num_stopping, is_checkpoint, length = cluster.sum([should_stop(), *own])
        return bool(num_stopping), bool(is_checkpoint), length

    call = Call(session.first_step, {}, 0.0, False)
    with contextlib.ExitStack() as closing:
        for hook in reversed(hooks):
            closing.callback(hook.close)
        stopping, _, length = agree(call.step)
        while call.step < session.last_step and not stopping:
            try:
                call, is_finite = pacing.timed(make_steps, call.step, length)
            except CycleganError as error:  # as for too many bad images: what was trained before is good
                if cluster.num_processes > 1:
                    raise  # the image pools of a process that is lost are missing
                try:
                    for hook in hooks if call.num_steps else ():
                        hook.at_end(call)
                except CycleganError as another:
                    raise CycleganError(f"{error} {another}") from error
                raise
            if not is_finite:
                for hook in hooks:
                    hook.at_divergence()
                raise _diverged(call)
            stopping, is_checkpoint, length = agree(call.step)
            if stopping or call.step >= session.last_step:
                for hook in hooks:
                    hook.at_end(call)
            elif is_checkpoint:
                for hook in hooks:
                    hook.at_checkpoint(call)
            for hook in hooks:
                hook.after_call(call)
    return call.step


def _diverged(call: Call) -> CycleganError:
    """The error for a call whose last step was not finite, and was therefore not taken."""
    spoiled = next((tag for tag, values in call.metrics.items() if not np.isfinite(values[-1])), "a new weight")
    return CycleganError(
        f"Training diverged: {spoiled} is not finite in step {call.step}, which was not taken. Continue the run with a"
        " lower rate, such as --set optimizer.learning_rate=1e-5; it goes on from its newest checkpoint, or from the"
        " start if it has none. If it diverges again, the weights were spoiled before that checkpoint: delete it, or"
        " start a new run."
    )
