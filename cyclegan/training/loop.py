"""The loop: calls of TensorFlow one after the other, and the hooks around them."""

import contextlib
import signal
import time
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
        is_early: whether a hook has ended the run before its last step.
    """

    step: int
    signal: int
    is_early: bool


class Patience(NamedTuple):
    """When a training has diverged.

    Attributes:
        max_bad_steps: it has if so many steps in a row are not finite.
        remedy: what to do then, without a full stop.
    """

    max_bad_steps: int
    remedy: str


class Due(NamedTuple):
    """What all processes do after a call.

    Attributes:
        signal: as in `Ending`.
        is_checkpoint: whether the run is saved.
        is_evaluation: whether the run is scored.
        length: the number of steps of the next call.
    """

    signal: int
    is_checkpoint: bool
    is_evaluation: bool
    length: int


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
        The number of completed steps, and why there are no more.

    Raises:
        CycleganError: if too many steps in a row are not finite, or if the input or a hook cannot go on.
    """

    def agree(step: int) -> Due:
        """What is due after `step` steps, for all processes."""
        decided = [pacing.is_checkpoint(step), pacing.is_evaluation(step), pacing.next_length(step)]
        *signals, is_checkpoint, is_evaluation, length = cluster.sum(
            [*_stopping(received()), *(decided if cluster.is_chief else [0, 0, 0])]
        )
        return Due(_agreed(*signals), bool(is_checkpoint), bool(is_evaluation), length)

    def evaluate(call: Call) -> int:
        """Scores the run. Returns the signal that has made a hook give this up, which ends the session at this step."""
        _evaluate(call, hooks, pacing)
        return _agreed(*cluster.sum(_stopping(received())))

    call = Call(session.first_step, {}, 0.0, False)
    with contextlib.ExitStack() as closing:
        for hook in reversed(hooks):
            closing.callback(hook.close)
        due = agree(call.step)
        if due.is_evaluation and call.step:  # the session before was killed between saving and scoring
            due = due._replace(signal=evaluate(call))
        is_early = any(hook.is_over for hook in hooks)
        while call.step < session.last_step and not due.signal and not is_early:
            try:
                call, bad_streak = pacing.timed(make_steps, call.step, due.length)
            except CycleganError as error:  # as for too many bad images: what was trained before is good
                if cluster.num_processes > 1:
                    raise  # the image pools of a process that is lost are missing
                _save_after(error, call, hooks)
                raise
            _end_if_diverged(call, bad_streak, session, hooks, patience)
            due = agree(call.step)
            is_end = bool(due.signal) or call.step >= session.last_step
            if is_end:
                _save(call, hooks)
            elif due.is_checkpoint:
                for hook in hooks:
                    hook.at_checkpoint(call)
            if due.is_evaluation and not due.signal:
                due = due._replace(signal=evaluate(call))
                if due.signal and not is_end:
                    is_end = True
                    _save(call, hooks)
            for hook in hooks:
                hook.after_call(call)
            is_early = not is_end and any(hook.is_over for hook in hooks)
        if is_early and not any(hook.is_spoiled for hook in hooks):
            _save(call, hooks)
            if not due.is_evaluation:
                due = due._replace(signal=evaluate(call))
    return Ending(call.step, due.signal, is_early)


def _stopping(number: int) -> list[int]:
    """The signal that a process has received, 0 for none, as numbers whose sums over all processes `_agreed` takes."""
    return [int(number != 0), int(number == signal.SIGTERM)]


def _agreed(num_stopping: int, num_terminated: int) -> int:
    """The signal of all processes, as in `Ending`."""
    return signal.SIGTERM if num_terminated else signal.SIGINT if num_stopping else 0


def _save(call: Call, hooks: Sequence[Hook]) -> None:
    for hook in hooks if call.num_steps else ():
        hook.at_end(call)


def _save_after(error: CycleganError, call: Call, hooks: Sequence[Hook]) -> None:
    """Saves what was trained before an error. If that fails too, both are said."""
    try:
        _save(call, hooks)
    except CycleganError as another:
        raise CycleganError(f"{error} {another}") from error


def _evaluate(call: Call, hooks: Sequence[Hook], pacing: Pacing) -> None:
    start = time.perf_counter()
    for hook in hooks:
        hook.at_evaluation(call)
    pacing.evaluated(time.perf_counter() - start)


def _end_if_diverged(call: Call, bad_streak: int, session: Session, hooks: Sequence[Hook], patience: Patience) -> None:
    """Ends the training if too many steps in a row were bad.

    A run that ends in bad steps would leave weights from which nobody knows whether any step is finite.

    Raises:
        CycleganError: if it has diverged.
    """
    limit = patience.max_bad_steps
    if bad_streak >= (limit if call.step < session.last_step else min(2, limit)):
        for hook in hooks:
            hook.at_divergence(call)
        raise _diverged(call, bad_streak, patience.remedy)


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
