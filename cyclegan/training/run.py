"""The training of a run, from its plan to its bundle."""

import functools
import pathlib
import secrets
import signal
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

import cyclegan
from cyclegan.bundles.bundle import Bundle
from cyclegan.config.config import Config
from cyclegan.config.files import as_yaml
from cyclegan.data.batches import build_readers
from cyclegan.data.inventory import Inventory, fingerprint
from cyclegan.data.sources import Source
from cyclegan.errors import CycleganError
from cyclegan.evaluation.features import Extractor
from cyclegan.evaluation.validation import Validator
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.evaluator import Evaluator, build_validator, describe_lost_best, is_settled
from cyclegan.training.health import Health
from cyclegan.training.history import History
from cyclegan.training.hooks import Call, Hook
from cyclegan.training.interrupts import StopSignals
from cyclegan.training.keeper import keep_best, renew_bundle
from cyclegan.training.length import Length, Session, plan_session, run_length
from cyclegan.training.loop import Patience, iterate
from cyclegan.training.pacing import Pacing
from cyclegan.training.record import RunRecord, write_run
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.restoring import restore
from cyclegan.training.rollback import data_seed, find_way_back, set_aside
from cyclegan.training.run_directory import Plan, log_file, refuse_shorter
from cyclegan.training.run_hooks import build_hooks
from cyclegan.training.schedules import describe_rate
from cyclegan.training.securing import securing
from cyclegan.training.state import State, build_state
from cyclegan.training.step_maker import build_step_maker, naming_failures
from cyclegan.training.teaching import build_teachers, find_teacher, keep_teacher, start_discriminators
from cyclegan.training.trace import Trace
from cyclegan.training.warm_start import start_from_bundle


class TrainingResult(NamedTuple):
    """How a training ended.

    Attributes:
        folder: the run directory.
        step: the number of completed steps.
        complete: whether these are all steps of the run.
        terminated: whether SIGTERM has stopped it, as schedulers send it.
        next: the plan to go on with, where an ill run has gone back to a checkpoint.
    """

    folder: pathlib.Path
    step: int
    complete: bool
    terminated: bool = False
    next: Plan | None = None


def run_training(
    plan: Plan,
    source: Source,
    inventory: Inventory,
    cluster: Cluster,
    devices: str,
    progress: Progress,
    cache_dir: pathlib.Path | None = None,
    extractor: Extractor | None = None,
    *,
    renew_claim: Callable[[str], bool] = lambda run_id: False,
    init_from: Bundle | None = None,
    fresh: bool = False,
    profile: bool = False,
) -> TrainingResult:
    """Trains a run to its end, or until it is interrupted.

    Args:
        plan: the plan of the run, whose directory the chief has claimed.
        source: the images to train with and to test with.
        inventory: the training images, for a new run.
        cluster: the processes that train together, with their strategy.
        devices: the value of `--devices` that led to the strategy, for the record.
        progress: says what happens.
        cache_dir: the folder in which the images are cached; None caches none.
        extractor: the network of the scores, see `build_validator`.
        renew_claim: holds the run directory again if it has been deleted or moved, see `Claim.renew`.
        init_from: the bundle that the generators of a new run start from, as `load_start` returns it.
        fresh: whether a run starts over of whose checkpoints none can be used.
        profile: whether to write a trace of a few steps for TensorBoard.

    Returns:
        Where the run is and how far it came. It is not complete after SIGINT or SIGTERM.

    Raises:
        UsageError: if the run cannot start as asked.
        CycleganError: if it cannot go on.
    """
    folder, config, strategy = plan.folder, plan.config, cluster.strategy
    teacher = find_teacher(config, folder, plan.record)
    record = _record_of(plan, devices, strategy, inventory, fresh, teacher.info.digests if teacher else {})
    length = run_length(config.training, source.epoch_size, config.training.replica_batch * record.num_replicas)
    with cluster.naming_the_lost():
        state = build_state(config, strategy, length, build_teachers(teacher, config, strategy) if teacher else ())
        variables = state.named(strategy, cluster.first_replica)
        is_started = _start_from_others(
            state, config, strategy, init_from, None if plan.record and not fresh else teacher, progress
        )

    with StopSignals(progress) as stop:
        restore(variables, plan, progress, cluster, is_started=is_started, fresh=fresh)
        session = plan_session(length, int(state.step.numpy()), int(state.samples.numpy()), state.global_batch)
        refuse_shorter(folder, session, length)
        _open_run(plan, record, None if plan.record else inventory, teacher, cluster, progress)
        progress.line(_describe_start(plan, session, length, fresh))
        build = functools.partial(build_validator, state, source, config, progress, cache_dir, extractor)
        if not session.num_steps:
            _finish_complete_run(state, variables, plan, session, length, record, cluster, progress, build)
            return TrainingResult(folder, session.last_step, True)

        seed = data_seed(config.training.seed, record.rollbacks)
        readers = build_readers(source, config.data, seed, progress.line, cache_dir)
        with naming_failures(readers), cluster.naming_the_lost():
            with cluster.together():
                validator = build() if config.is_scored and cluster.is_chief else None
            make_steps, record = build_step_maker(state, plan, record, cluster, readers, session, progress)
            pacing = Pacing(config, session.last_step, max(1, length.samples_per_epoch // session.global_batch))
            hooks: list[Hook] = []
            if profile:
                make_steps = trace = Trace(make_steps, folder, progress.line, config.training.max_bad_steps)
                hooks = [trace]
            plan = plan._replace(record=record)
            secure = securing(plan, record, inventory, progress, renew_claim)
            own, health = build_hooks(
                state, variables, source, plan, session, cluster, readers, progress, validator, secure, stop
            )
            hooks += own
            patience = Patience(config.training.max_bad_steps, _remedy(plan))
            ending = iterate(make_steps, session, pacing, hooks, lambda: stop.received, cluster, patience)
            cluster.barrier()  # a process that ends earlier would look to the others as if it had failed
    is_complete = ending.is_early or ending.step >= session.last_step
    next_plan = _after_illness(plan, record, health, cluster, progress) if ending.is_early else None
    return TrainingResult(folder, ending.step, is_complete, ending.signal == signal.SIGTERM, next_plan)


def _start_from_others(
    state: State,
    config: Config,
    strategy: tf.distribute.Strategy,
    init_from: Bundle | None,
    teacher: Bundle | None,
    progress: Progress,
) -> bool:
    """Gives the networks the weights of another run, if there is one, and returns whether there is."""
    if teacher and config.distillation.teacher:
        progress.line(start_discriminators(state, teacher, config.distillation.teacher, strategy))
    if init_from:
        progress.line(start_from_bundle(state, init_from))
    return bool(teacher or init_from)


def _open_run(
    plan: Plan,
    record: RunRecord,
    inventory: Inventory | None,
    teacher: Bundle | None,
    cluster: Cluster,
    progress: Progress,
) -> None:
    """Writes the run directory, from where on its log is written too."""
    with cluster.together():
        if cluster.is_chief:
            if teacher:
                keep_teacher(teacher, plan.folder)
            write_run(plan.folder, plan.config, record, inventory)
    progress.log_file = log_file(plan.folder, cluster.rank)


def _after_illness(plan: Plan, record: RunRecord, health: Health, cluster: Cluster, progress: Progress) -> Plan | None:
    """The plan to go on with, if the run was ended because it is ill, and can go back to when it was not.

    Raises:
        CycleganError: if it is ill and ends here.
    """
    healthy_step = health.healthy_step
    if healthy_step is None:
        return None
    way_on = f"To train on nevertheless: cyclegan train --run-dir {plan.folder} --set health.action=warn"
    if plan.config.health.action == "stop":
        names = f" ({', '.join(sorted(health.illnesses))})" if health.illnesses else ""
        raise CycleganError(f"The run is ill{names}, so it ends here, as health.action asks. {way_on}")
    step = None
    with cluster.together():
        if cluster.is_chief:
            step, text = find_way_back(plan.folder, healthy_step, record.rollbacks)
            if step is None:
                raise CycleganError(f"{text} {way_on}")
            progress.line(text)
    record = record.model_copy(update={"rollbacks": record.rollbacks + 1})
    with cluster.together():
        if step is not None:
            # Counted first: killed in between, the run meets the illness once more, and goes back for another order.
            write_run(plan.folder, plan.config, record)
            set_aside(plan.folder, step, healthy_step)
    return plan._replace(record=record, changes={})


def _record_of(
    plan: Plan,
    devices: str,
    strategy: tf.distribute.Strategy,
    inventory: Inventory,
    fresh: bool,
    teachers: Mapping[str, str],
) -> RunRecord:
    """The record of a run, which is a new one if it has none yet. One that starts over has not gone back."""
    if plan.record:
        return plan.record.model_copy(update={"rollbacks": 0}) if fresh else plan.record
    return RunRecord(
        run_id=secrets.token_hex(8),
        version=cyclegan.__version__,
        devices=devices,
        num_replicas=strategy.num_replicas_in_sync,
        fingerprint=fingerprint(inventory),
        teachers=dict(teachers),
    )


def _finish_complete_run(
    state: State,
    variables: Mapping[str, tf.Variable],
    plan: Plan,
    session: Session,
    length: Length,
    record: RunRecord,
    cluster: Cluster,
    progress: Progress,
    build: Callable[[], Validator],
) -> None:
    """Gives a run that is complete its bundle back, if it has none of its last step, and its last score."""
    text = f"All {session.last_step} steps are done. Give more with --epochs or --steps."
    if session.last_step != length.num_steps:  # it had another number of replicas in between
        text += f" These count steps of {length.global_batch} images of each domain, as the first session made them, of"
        text += f" which the run has {length.num_steps}."
    progress.line(text)
    with cluster.together():
        if cluster.is_chief and renew_bundle(variables, plan, session.last_step, record.fingerprint):
            progress.line("The bundle was missing or older than the last step, and has been written again.")
        history = History(plan.folder, session.last_step, progress.line)
        metric, is_scored = plan.config.evaluation.metric, plan.config.is_scored
        if cluster.is_chief and is_scored and not is_settled(plan.folder, history, session.last_step, metric):
            # It was killed after its last step had been saved, or the disk was full.
            alone = Cluster(tf.distribute.get_strategy())
            keep = functools.partial(keep_best, variables, plan, record.fingerprint, lambda: None)
            evaluator = Evaluator(state, plan, alone, progress, history, build(), None, keep)
            evaluator.at_evaluation(Call(session.last_step, {}, 0.0, False))
        elif cluster.is_chief and (lost := describe_lost_best(plan.folder, history, metric)):
            progress.line(f"{lost} Translations take bundle/last.")


def _remedy(plan: Plan) -> str:
    """What to do if the training diverges."""
    return (
        f"Continue the run with a lower rate: cyclegan train --run-dir {plan.folder} --set"
        f" optimizer.learning_rate={min(plan.config.optimizer.learning_rate / 10, 1e-4):.2g}"
    )


def _describe_start(plan: Plan, session: Session, length: Length, fresh: bool) -> str:
    """One line: which steps of which run, the learning rate, and what has changed since the last session."""
    kind = "Starting over" if fresh else "Continuing" if plan.record else "New run"
    text = f"{kind} {plan.folder}: steps {session.first_step} to {session.last_step}"
    text += f", {length.steps_per_epoch} steps per epoch; {describe_rate(plan.config.optimizer, length)}"
    for key, (old, new) in plan.changes.items():
        text += f"; {key} changed from {as_yaml(old)} to {as_yaml(new)}"
    return text + "."
