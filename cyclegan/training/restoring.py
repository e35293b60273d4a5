"""The values that a run goes on with: those of its newest intact checkpoint, on all processes."""

import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping

import tensorflow as tf

from cyclegan.errors import CycleganError, UsageError
from cyclegan.runtime.atomic_files import remove_litter
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.checkpoints import (
    find_checkpoint,
    first_free,
    list_checkpoints,
    read_checkpoint,
    save_checkpoint,
)
from cyclegan.training.history import HISTORY_FILE
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import CHECKPOINTS, START, Plan
from cyclegan.training.state import blank, snapshot, spread


def restore(
    variables: Mapping[str, tf.Variable],
    plan: Plan,
    progress: Progress,
    cluster: Cluster,
    *,
    is_started: bool,
    fresh: bool,
) -> None:
    """Gives the variables of all processes the values of the newest intact checkpoint, if anything was ever saved.

    The pools of replicas that the run did not have stay empty, and those of replicas that it has no more are dropped.

    Args:
        variables: everything that goes into a checkpoint, as `State.named` returns it.
        plan: the run directory and the configuration.
        progress: told what is set aside, and what has changed.
        cluster: the processes that train together. The chief reads.
        is_started: whether networks have weights of another run. They are saved at once.
        fresh: whether the run starts over.

    Raises:
        UsageError: if the run shall start over, although one of its checkpoints can be used.
        CycleganError: if the checkpoints cannot be used, or are gone.
    """
    checkpoints = plan.folder / CHECKPOINTS
    start = snapshot(variables, cluster) if is_started else None
    found = None
    with cluster.together():
        if cluster.is_chief:
            if fresh:
                _refuse_if_usable(variables, plan.folder)
            _clear(plan)
            move_rest = _move_attempt(plan.folder, progress) if fresh else None
            if start:
                # The run would otherwise start from random weights if it is killed before its first checkpoint.
                save_checkpoint(start, checkpoints, 0, keep=sys.maxsize)
            if move_rest:
                move_rest()
            found = read_checkpoint(blank(variables), checkpoints, progress.line)
            if found is None and (plan.folder / "bundle").exists():
                raise CycleganError(
                    f"{plan.folder} has a bundle but no checkpoint, so it cannot go on. Put the checkpoints back, start"
                    f" a new run with --init-from {plan.folder}, or start over with --fresh, which keeps the"
                    " bundle in another place."
                )
    arrays = spread(found[1] if found else None, cluster)
    if arrays is None:
        return
    for name, variable in variables.items():
        if name in arrays:
            variable.assign(arrays[name])
    before, now = sum(name.startswith("pool_a/count/") for name in arrays), cluster.strategy.num_replicas_in_sync
    if before != now:
        progress.line(
            f"The number of replicas was {before} and is {now} now. The progress of the run is counted in images. "
            + ("The image pools of the new replicas are empty." if now > before else "Surplus image pools are dropped.")
        )


def _clear(plan: Plan) -> None:
    """Removes what a session that was killed has left. Nobody else writes here now."""
    for place in (plan.folder, plan.folder / "samples"):
        remove_litter(place, min_age=0)
    if plan.record is None:  # its first start had another bundle, or none
        (plan.folder / CHECKPOINTS / START).unlink(missing_ok=True)


def _refuse_if_usable(variables: Mapping[str, tf.Variable], folder: pathlib.Path) -> None:
    """Refuses to start a run over that can be continued. Nothing has been changed yet."""
    found = find_checkpoint(blank(variables), folder / CHECKPOINTS)
    if found.arrays is not None:
        raise UsageError(
            f"`--fresh` is for runs that cannot be continued. Received: --fresh with {folder}, which has an intact"
            f" checkpoint of step {found.step}. Leave out --fresh, or start a new run in another directory."
        )


def _move_attempt(folder: pathlib.Path, progress: Progress) -> Callable[[], None]:
    """Moves what has come of a run into a folder of its own, for a fresh start.

    The checkpoints come last, by the function that is returned: while one of them is there, the run does not start over
    silently, even if it is killed in between.
    """
    place = first_free(folder / "before")
    checkpoints = [path for _, path in list_checkpoints(folder / CHECKPOINTS)]

    def move(paths: Iterable[pathlib.Path]) -> None:
        for path in paths:
            target = place / path.relative_to(folder)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
            except OSError as error:
                raise CycleganError(f"{path} cannot be moved to {target}: {error.strerror}.") from error

    results = [folder / "bundle", folder / "samples", folder / HISTORY_FILE, *folder.glob("events.out.tfevents.*")]
    results += (folder / CHECKPOINTS).glob("*.ill*")
    move(path for path in results if path.exists())
    move(path for path in checkpoints if path.name == START)
    progress.line(f"The run starts over. What came of it so far is kept in {place}.")
    return lambda: move(path for path in checkpoints if path.name != START)
