"""Saving: the only writer of checkpoints and bundles. It writes beside the training, not in its way."""

import concurrent.futures
import math
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from rich.filesize import decimal

from cyclegan.bundles.bundle import load_bundle, write_bundle
from cyclegan.bundles.info import Direction, bundle_info
from cyclegan.errors import CycleganError, first_line
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.checkpoints import list_checkpoints, save_checkpoint
from cyclegan.training.history import Entry
from cyclegan.training.hooks import Call, Hook, mean_metrics
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import CHECKPOINTS, Plan
from cyclegan.training.securing import Displaced
from cyclegan.training.state import snapshot


class Snapshot(NamedTuple):
    """The values of a run after `step` steps, and the means of its metrics since the snapshot before."""

    step: int
    arrays: dict[str, np.ndarray]
    metrics: dict[str, float]


class Keeper(Hook):
    """Saves checkpoint and bundle where they are due. A failure before the end of the run costs no training.

    The values are copied between two calls, and a thread writes them. A copy waits for the next good step before it is
    written: a state from which no step is finite is not worth keeping.

    Args:
        variables: everything that goes into a checkpoint, as `State.named` returns it.
        plan: the run directory and the configuration.
        progress: told if something cannot be saved.
        fingerprint: the fingerprint of the training images, for the bundle.
        cluster: the processes that train together. All of them copy their values, and the chief writes.
        secure: called before each saving, to create the run directory again if it is gone.
        needed: the newest checkpoint of this step or before is kept, however many newer ones there are.
    """

    def __init__(
        self,
        variables: Mapping[str, tf.Variable],
        plan: Plan,
        progress: Progress,
        fingerprint: str,
        cluster: Cluster,
        secure: Callable[[], None] = lambda: None,
        needed: Callable[[], int] = lambda: 0,
    ):
        self._variables, self._plan, self._progress, self._fingerprint = variables, plan, progress, fingerprint
        self._cluster, self._secure, self._needed = cluster, secure, needed
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "keeper")
        self._writing: concurrent.futures.Future[None] | None = None
        self._waiting: Snapshot | None = None
        self._calls: list[Call] = []  # since the last snapshot
        self._displaced: Displaced | None = None

    def at_checkpoint(self, call: Call) -> None:
        """Copies the values of the run."""
        self._write_waiting(call)
        self._waiting = self._snapshot(call)
        self._calls = []

    def after_call(self, call: Call) -> None:
        """Hands a snapshot from before `call` to the thread that writes.

        Raises:
            Displaced: if the thread has found that nothing can be saved any more.
        """
        if self._displaced:
            raise self._displaced
        self._write_waiting(call)
        if self._waiting is None:  # otherwise the call is in the snapshot already
            self._calls.append(call)

    def _write_waiting(self, call: Call) -> None:
        """Lets the thread write the snapshot that waits for a good step, if `call` has made one."""
        if self._waiting and self._waiting.step < call.step and call.is_good:
            self._finish_writing()
            self._writing = self._thread.submit(self._try_to_save, self._waiting, "Training goes on")
            self._waiting = None

    def at_end(self, call: Call) -> None:
        """Saves, and waits until everything is written.

        Raises:
            CycleganError: if that fails.
        """
        self._waiting = None  # what is saved here is newer
        self._finish_writing()
        try:
            self._save(self._snapshot(call))
        except Displaced:
            raise
        except CycleganError as error:
            raise CycleganError(f"Step {call.step} cannot be saved: {error} {self._way_on()}") from error

    def at_divergence(self, call: Call) -> None:
        """Throws a snapshot away from which no good step has been made."""
        self._waiting = None

    def close(self) -> None:
        """Writes a snapshot that still waits, as after an error of another hook, and waits until it is written."""
        self._finish_writing()
        if self._waiting:
            self._try_to_save(self._waiting, "It was the last attempt")
        self._thread.shutdown()

    def _finish_writing(self) -> None:
        """Waits for the thread."""
        if self._writing:
            self._writing.result()
            self._writing = None

    def _try_to_save(self, taken: Snapshot, consequence: str) -> None:
        """Saves, or says why that failed and what it means."""
        try:
            self._save(taken)
        except Displaced as error:
            self._displaced = error
        except Exception as error:  # whatever it is, it must not cost the training
            text = str(error) if isinstance(error, CycleganError) else f"The run cannot be saved: {error!r}."
            self._progress.line(f"{text} {consequence}.")

    def _way_on(self) -> str:
        """What is left of a run whose last steps cannot be saved, and how it goes on."""
        checkpoints = list_checkpoints(self._plan.folder / CHECKPOINTS)
        left = f"The newest checkpoint is of step {checkpoints[-1][0]}." if checkpoints else "There is no checkpoint."
        # Without --fresh, a run that has a bundle but no checkpoint is not continued: somebody may have moved it.
        fresh = "" if checkpoints or not (self._plan.folder / "bundle").exists() else " --fresh"
        verb = "continue" if checkpoints else "start over"
        return f"{left} Remove the cause, then {verb} with: cyclegan train --run-dir {self._plan.folder}{fresh}"

    def _snapshot(self, call: Call) -> Snapshot:
        # A run may end after it has been shown a call, as where the input of the next one fails.
        calls = self._calls if self._calls and self._calls[-1] is call else [*self._calls, call]
        arrays = snapshot(self._variables, self._cluster)
        means = {tag: mean for tag, mean in mean_metrics(calls).items() if math.isfinite(mean)}
        return Snapshot(int(arrays["step"]), arrays, means)

    def _save(self, taken: Snapshot) -> None:
        if not self._cluster.is_chief:
            return
        self._secure()
        folder, config = self._plan.folder, self._plan.config
        keep, needed = config.training.keep_checkpoints, self._needed()
        save_checkpoint(taken.arrays, folder / CHECKPOINTS, taken.step, keep, needed)
        _write_bundle(self._plan, taken, self._fingerprint)


def find_shortage(variables: Mapping[str, tf.Variable], folder: pathlib.Path) -> str | None:
    """A line to print if the disk of a run directory has no room for a checkpoint and a bundle."""
    shortage = _shortage(variables, folder)
    return f"{shortage}. The training begins, but it can be saved only where there is room." if shortage else None


def _shortage(variables: Mapping[str, tf.Variable], folder: pathlib.Path, num_bundles: int = 1) -> str | None:
    """Half a sentence for a disk without room for a checkpoint and so many bundles."""
    sizes = {name: math.prod(variable.shape) * variable.dtype.size for name, variable in variables.items()}
    bundle = sum(size for name, size in sizes.items() if name.startswith("generator_"))
    needed = sum(sizes.values()) + num_bundles * bundle
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # the directory has been deleted, and will be created again
        return None
    if free >= needed:
        return None
    what = "a bundle" if num_bundles == 1 else f"{num_bundles} bundles"
    return f"The disk of {folder} has {decimal(free)} left, but a checkpoint and {what} take {decimal(needed)}"


def renew_bundle(variables: Mapping[str, tf.Variable], plan: Plan, step: int, fingerprint: str) -> bool:
    """Writes the bundle of a run that is complete, if it is missing, damaged or not of this step.

    Args:
        variables: as for `Keeper`, with the values of the checkpoint.
        plan: the run directory and the configuration.
        step: the step of the checkpoint.
        fingerprint: the fingerprint of the training images.

    Returns:
        Whether it was written.

    Raises:
        CycleganError: if it cannot be written.
    """
    try:
        bundle = load_bundle(plan.folder / "bundle" / "last")
        for direction in bundle.info.weights:
            bundle.generator(direction)
        if bundle.info.provenance.step == step:
            return False
    except CycleganError:
        pass  # it is missing or damaged
    _write_bundle(plan, Snapshot(step, snapshot(variables), {}), fingerprint)
    return True


def keep_best(
    variables: Mapping[str, tf.Variable],
    plan: Plan,
    fingerprint: str,
    secure: Callable[[], None],
    entry: Entry,
) -> None:
    """Writes the bundle of this moment as the best one of a run.

    Args:
        variables: as for `Keeper`.
        plan: the run directory and the configuration.
        fingerprint: the fingerprint of the training images.
        secure: as for `Keeper`.
        entry: the number of completed steps, and what the validation images say of them.

    Raises:
        CycleganError: if it cannot be written, or would take the room of the next checkpoint.
    """
    secure()
    checkpoints = list_checkpoints(plan.folder / CHECKPOINTS)
    # A checkpoint of this step is there at the end of a run, after which no other one needs the room.
    is_saved = bool(checkpoints) and checkpoints[-1][0] == entry.step
    if not is_saved and (shortage := _shortage(variables, plan.folder, num_bundles=2)):
        raise CycleganError(f"{shortage}.")
    generators = {name: variable for name, variable in variables.items() if name.startswith(("generator_", "average_"))}
    _write_bundle(plan, Snapshot(entry.step, snapshot(generators), {}), fingerprint, entry)


def _write_bundle(plan: Plan, taken: Snapshot, fingerprint: str, best: Entry | None = None) -> None:
    """Writes the last bundle of a run, or the best one with its scores. Its generators are the averages, if it has any.

    Raises:
        CycleganError: if it cannot be written.
    """
    network = "average" if plan.config.training.ema_decay else "generator"
    directions: tuple[Direction, ...] = ("ab", "ba")
    weights = {
        direction: {name.removeprefix(prefix): value for name, value in taken.arrays.items() if name.startswith(prefix)}
        for direction in directions
        for prefix in (f"{network}_{direction}/",)
    }
    info = bundle_info(
        plan.config,
        taken.step,
        fingerprint=fingerprint,
        metrics=taken.metrics,
        validation=best.values if best else {},
        validation_protocol=best.protocol if best else "",
    )
    folder = plan.folder / "bundle" / ("best" if best else "last")
    try:
        write_bundle(folder, weights, info)
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise CycleganError(f"The bundle {folder} cannot be written: {reason}.") from error
