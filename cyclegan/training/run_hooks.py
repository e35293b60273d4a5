"""The hooks of a run: first those that save it, then those that look at it and say how it is doing."""

import functools
from collections.abc import Callable, Mapping

import tensorflow as tf

from cyclegan.data.batches import ImageReader
from cyclegan.data.sources import Source
from cyclegan.evaluation.validation import Validator
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.bad_steps import BadSteps
from cyclegan.training.evaluator import Evaluator
from cyclegan.training.health import Health, build_examination
from cyclegan.training.history import History
from cyclegan.training.hooks import Hook
from cyclegan.training.interrupts import StopSignals
from cyclegan.training.keeper import Keeper, find_shortage, keep_best
from cyclegan.training.length import Session
from cyclegan.training.replica_check import ReplicaCheck
from cyclegan.training.reporting.monitor import Monitor
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.reporting.summaries import Summaries
from cyclegan.training.run_directory import Plan
from cyclegan.training.state import State


def build_hooks(
    state: State,
    variables: Mapping[str, tf.Variable],
    source: Source,
    plan: Plan,
    session: Session,
    cluster: Cluster,
    readers: tuple[ImageReader, ImageReader],
    progress: Progress,
    validator: Validator | None,
    secure: Callable[[], None],
    stop: StopSignals,
) -> tuple[list[Hook], Health]:
    """Builds the hooks in the order in which they are told what happens, of which one knows whether the run is ill.

    The chief looks at the run. The other processes have the hooks that may end it, or change its learning rate.

    Args:
        state: its generators are looked at.
        variables: everything that goes into a checkpoint, as `State.named` returns it.
        source: the images to show, and to examine the generators with.
        plan: the run directory, the configuration and the record.
        session: the steps that are left.
        cluster: the processes that train together.
        readers: know which images a bad step had.
        progress: told what is seen.
        validator: scores the run; None on the other processes, and for a run that is not scored.
        secure: see `Keeper`.
        stop: knows whether a signal has asked to stop.
    """
    folder, config, record, watchers = plan.folder, plan.config, plan.record, list[Hook]()
    assert record  # it has been written
    if cluster.is_chief and (shortage := find_shortage(variables, folder)):
        progress.line(shortage)
    history = History(folder, session.first_step, progress.line)
    if cluster.is_chief:
        history.settle()
    summaries = Summaries(folder, session.first_step, progress.line) if cluster.is_chief else None
    if summaries:
        watchers.append(BadSteps(session, readers, progress))
        watchers.append(Monitor(state, source, plan, progress, session, summaries))
    generators = (state.generator_ab, state.generator_ba)
    examine = build_examination(*generators, source, config) if cluster.is_chief else None
    health = Health(config, cluster, progress, history, examine, summaries)
    watchers.append(health)
    if config.is_scored:
        keep = functools.partial(keep_best, variables, plan, record.fingerprint, secure)
        watchers.append(
            Evaluator(state, plan, cluster, progress, history, validator, summaries, keep, lambda: stop.received)
        )
    needed = health.unsuspected_step if config.health.action == "rollback" else lambda: 0
    keeper = Keeper(variables, plan, progress, record.fingerprint, cluster, secure, needed)
    checks = [ReplicaCheck(state, cluster)] if cluster.strategy.num_replicas_in_sync > 1 else []
    return [*checks, keeper, *watchers], health
