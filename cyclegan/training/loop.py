"""The loop: calls of TensorFlow one after the other, and the hooks around them."""

import contextlib
import signal
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cyclegan.errors import CycleganError
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.hooks import Call, Hook
from cyclegan.training.length import Session
from cyclegan.training.pacing import MakeSteps, Pacing


class Ending(NamedTuple):
    """How the loop ended.

    Attributes:
        step: the number of completed steps.
        signal: SIGTERM if any process has received it, SIGINT for any other signal, 0 if the run is complete.
    """

    step: int
    signal: int


class Patience(NamedTuple):
    """When a training has diverged.

    Attributes:
        max_bad_steps: it has if so many steps in a row are not finite.
        remedy: what to do then, without a full stop.
    """

    max_bad_steps: int
    remedy: str


def iterate(
    make_steps: MakeSteps,
    session: Session,
    pacing: Pacing,
    hooks: Sequence[Hook],
    received: Callable[[], int],
    cluster: Cluster,
    patience: Patience,
) -> Ending:
    """Trains until the last step of a session, or until it is asked to stop.

    Args:
        make_steps: makes steps, as `Pacing.timed` calls it.
        session: the steps that are left.
        pacing: decides how many steps a call makes.
        hooks: called in this order. At a checkpoint and at the end, all of them save before any of them shows
            something, so that nothing that is shown can cost what was trained. All are closed, whatever fails.
        received: asked between two calls for the number of the signal that has asked to stop, 0 if none has. All
            processes stop if one of them should.
        cluster: the processes that train together. The chief decides about the calls of all.
        patience: when the training ends because of bad steps. It also ends with two of them at the end of the run.


    Returns:
        The number of completed steps, and the signal that stopped the processes.

    Raises:
        CycleganError: if too many steps in a row are not finite, or if the input or a hook cannot go on.
    """

    def agree(step: int) -> tuple[int, bool, int]:
        """Which signal to stop for and whether to save, after `step` steps, and the length of the next call."""
        own = [pacing.is_checkpoint(step), pacing.next_length(step)] if cluster.is_chief else [False, 0]
        number = received()
        num_stopping, num_terminated, is_checkpoint, length = cluster.sum([number != 0, number == signal.SIGTERM, *own])
        agreed = signal.SIGTERM if num_terminated else signal.SIGINT if num_stopping else 0
        return agreed, bool(is_checkpoint), length

    call, limit = Call(session.first_step, {}, 0.0, False), patience.max_bad_steps
    with contextlib.ExitStack() as closing:
        for hook in reversed(hooks):
            closing.callback(hook.close)
        stopping, _, length = agree(call.step)
        while call.step < session.last_step and not stopping:
            try:
                call, bad_streak = pacing.timed(make_steps, call.step, length)
            except CycleganError as error:  # as for too many bad images: what was trained before is good
                if cluster.num_processes > 1:
                    raise  # the image pools of a process that is lost are missing
                try:
                    for hook in hooks if call.num_steps else ():
                        hook.at_end(call)
                except CycleganError as another:
                    raise CycleganError(f"{error} {another}") from error
                raise
            # A run that ends in bad steps would leave weights from which nobody knows whether any step is finite.
            if bad_streak >= (limit if call.step < session.last_step else min(2, limit)):
                for hook in hooks:
                    hook.at_divergence(call)
                raise _diverged(call, bad_streak, patience.remedy)
            stopping, is_checkpoint, length = agree(call.step)
            if stopping or call.step >= session.last_step:
                for hook in hooks:
                    hook.at_end(call)
            elif is_checkpoint:
                for hook in hooks:
                    hook.at_checkpoint(call)
            for hook in hooks:
                hook.after_call(call)
    return Ending(call.step, stopping)


def _diverged(call: Call, bad_streak: int, remedy: str) -> CycleganError:
    """The error for a call that ends with too many steps that were not finite, and were therefore not taken."""
    skipped = "1 step was" if bad_streak == 1 else f"{bad_streak} steps in a row were"
    text = (
        f"Training diverged: {skipped} not finite and not taken; in step {call.step} it was {call.skipped[call.step]}."
    )
    if bad_streak >= call.step and call.skipped[call.step] in call.metrics:
        return CycleganError(
            f"{text} It was so from the first step on, which no learning rate changes. Look at the images and at the"
            " weights of the losses, and start a new run."
        )
    return CycleganError(
        f"{text} {remedy}. It goes on from its newest checkpoint, or from the start if it has none. If it diverges"
        " again, the weights were spoiled before that checkpoint: delete it, or start a new run."
    )
