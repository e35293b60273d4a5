"""The values that a run goes on with: those of its newest intact checkpoint, on all processes."""

import contextlib
from collections.abc import Mapping

import tensorflow as tf

from cyclegan.errors import CycleganError, UsageError
from cyclegan.runtime.atomic_files import remove_litter
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.checkpoints import Unusable, list_checkpoints, read_checkpoint, save_checkpoint, set_aside
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import CHECKPOINTS, START, Plan
from cyclegan.training.state import blank, snapshot, spread


def restore(
    variables: Mapping[str, tf.Variable],
    plan: Plan,
    progress: Progress,
    cluster: Cluster,
    *,
    from_bundle: bool,
    fresh: bool,
) -> None:
    """Gives the variables of all processes the values of the newest intact checkpoint, if anything was ever saved.

    The pools of replicas that the run did not have stay empty, and those of replicas that it has no more are dropped.

    Args:
        variables: everything that goes into a checkpoint, as `State.named` returns it.
        plan: the run directory and the configuration.
        progress: told what is set aside, and what has changed.
        cluster: the processes that train together. The chief reads.
        from_bundle: whether the generators are those of a bundle. They are saved at once.
        fresh: whether the run starts over.

    Raises:
        UsageError: if the run shall start over, although one of its checkpoints can be used.
        CycleganError: if the checkpoints cannot be used, or are gone.
    """
    checkpoints = plan.folder / CHECKPOINTS
    start = snapshot(variables, cluster) if from_bundle else None
    found = None
    with cluster.together():
        if cluster.is_chief:
            _clear(plan)
            if fresh:
                _set_all_aside(variables, plan, progress)
            if start:
                # The run would otherwise start from random weights if it is killed before its first checkpoint.
                save_checkpoint(start, checkpoints, 0, plan.config.training.keep_checkpoints)
            found = read_checkpoint(blank(variables), checkpoints, progress.line)
            if found is None and (plan.folder / "bundle").exists():
                raise CycleganError(
                    f"{plan.folder} has a bundle but no checkpoint, so it cannot go on. Put the checkpoints back, start"
                    f" a new run with --init-from {plan.folder}, or start over with --fresh, which sets the bundle"
                    " aside."
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


def _set_all_aside(variables: Mapping[str, tf.Variable], plan: Plan, progress: Progress) -> None:
    """Renames the checkpoints and the bundle of a run of whose checkpoints none can be used."""
    checkpoints, bundle = plan.folder / CHECKPOINTS, plan.folder / "bundle"
    with contextlib.suppress(Unusable):
        if found := read_checkpoint(blank(variables), checkpoints, progress.line):
            raise UsageError(
                f"`--fresh` is for runs that cannot be continued. Received: --fresh with {plan.folder}, which has an"
                f" intact checkpoint of step {found[0]}. Leave out --fresh, or start a new run in another directory."
            )
    aside = [(path, set_aside(path)) for _, path in list_checkpoints(checkpoints)]
    if bundle.exists():
        target = bundle.with_name("bundle.before")
        try:
            aside.append((bundle, bundle.rename(target)))
        except OSError as error:
            raise CycleganError(f"{bundle} cannot be renamed to {target.name}: {error.strerror}.") from error
    for path, target in aside:
        progress.line(f"{path} is set aside as {target.name}.")
    progress.line("The run starts over.")
