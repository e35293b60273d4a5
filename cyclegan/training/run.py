"""The training of a run, from its plan to its bundle."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

import cyclegan
from cyclegan.bundle import Bundle
from cyclegan.config.sections import image_dtype
from cyclegan.data.batches import ImageReader, Share, build_pipeline, build_readers
from cyclegan.data.inventory import Inventory, fingerprint
from cyclegan.data.sources import Source
from cyclegan.errors import CycleganError, UsageError
from cyclegan.runtime.atomic_files import remove_litter
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.checkpoints import read_checkpoint, save_checkpoint
from cyclegan.training.compilation import Parts, choose_compilation
from cyclegan.training.hooks import Hook
from cyclegan.training.interrupts import StopSignals
from cyclegan.training.keeper import Keeper, find_shortage, renew_bundle
from cyclegan.training.length import Length, Session, plan_session, run_length
from cyclegan.training.loop import iterate
from cyclegan.training.pacing import MakeSteps, Pacing
from cyclegan.training.record import Choice, RunRecord, find_record, write_run
from cyclegan.training.reporting.monitor import Monitor
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import CHECKPOINTS, START, Plan, log_file, refuse_shorter
from cyclegan.training.schedules import describe_rate
from cyclegan.training.state import State, blank, build_state, snapshot, spread
from cyclegan.training.step import build_step, build_steps
from cyclegan.training.trace import Trace
from cyclegan.training.warm_start import start_from_bundle


class TrainingResult(NamedTuple):
    """How a training ended.

    Attributes:
        folder: the run directory.
        step: the number of completed steps.
        complete: whether these are all steps of the run.
    """

    folder: pathlib.Path
    step: int
    complete: bool


def run_training(
    plan: Plan,
    source: Source,
    inventory: Inventory,
    cluster: Cluster,
    devices: str,
    progress: Progress,
    cache_dir: pathlib.Path | None = None,
    *,
    renew_claim: Callable[[], None] = lambda: None,
    init_from: Bundle | None = None,
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
        renew_claim: holds the run directory again if it has been deleted or moved, see `Claim`.
        init_from: the bundle that the generators of a new run start from, as `load_start` returns it.
        profile: whether to write a trace of a few steps for TensorBoard.

    Returns:
        Where the run is and how far it came. It is not complete after SIGINT or SIGTERM.

    Raises:
        UsageError: if the run cannot start as asked.
        CycleganError: if it cannot go on.
    """
    folder, config, strategy = plan.folder, plan.config, cluster.strategy
    record = plan.record or RunRecord(
        version=cyclegan.__version__,
        devices=devices,
        num_replicas=strategy.num_replicas_in_sync,
        fingerprint=fingerprint(inventory),
    )
    length = run_length(config.training, source.epoch_size, config.training.batch_size * record.num_replicas)
    state = build_state(config, strategy, length)
    variables = state.named(strategy, cluster.first_replica)
    if init_from:
        progress.line(start_from_bundle(state, init_from))

    with StopSignals(progress) as stop:
        _restore(variables, plan, bool(init_from), progress, cluster)
        session = plan_session(length, int(state.step.numpy()), int(state.samples.numpy()), state.global_batch)
        refuse_shorter(folder, session, length)
        with cluster.together():
            if cluster.is_chief:
                write_run(folder, config, record, inventory)
        progress.log_file = log_file(folder, cluster.rank)
        progress.line(_describe_start(plan, session, length))
        if not session.num_steps:
            progress.line(f"All {session.last_step} steps are done. Give more with --epochs or --steps.")
            with cluster.together():
                if cluster.is_chief and renew_bundle(variables, plan, session.last_step, record.fingerprint):
                    progress.line("The bundle was missing or older than the last step, and has been written again.")
            return TrainingResult(folder, session.last_step, True)

        readers = build_readers(source, config.data, config.training.seed, progress.line, cache_dir)
        with _named_failures(readers), cluster.naming_the_lost():
            make_steps, record = _step_maker(state, plan, record, cluster, readers, session, progress)
            pacing = Pacing(config.training, session.last_step)
            hooks: list[Hook] = []
            if profile:
                make_steps = trace = Trace(make_steps, folder, progress.line)
                hooks = [trace]
            if cluster.is_chief and (shortage := find_shortage(variables, folder)):
                progress.line(shortage)
            secure = _securing(plan, record, inventory, progress, renew_claim)
            hooks.append(Keeper(variables, plan, progress, record.fingerprint, cluster, secure))
            if cluster.is_chief:
                hooks.append(Monitor(state, source, plan, progress, session))
            step = iterate(make_steps, session, pacing, hooks, lambda: stop.requested, cluster)
            cluster.barrier()  # a process that ends earlier would look to the others as if it had failed
    return TrainingResult(folder, step, step >= session.last_step)


def _restore(
    variables: Mapping[str, tf.Variable], plan: Plan, from_bundle: bool, progress: Progress, cluster: Cluster
) -> None:
    """Gives the variables of all processes the values of the newest intact checkpoint, if anything was ever saved.

    The pools of replicas that the run did not have stay empty, and those of replicas that it has no more are dropped.

    Raises:
        CycleganError: if the checkpoints cannot be used, or are gone.
    """
    checkpoints = plan.folder / CHECKPOINTS
    start = snapshot(variables, cluster) if from_bundle else None
    found = None
    with cluster.together():
        if cluster.is_chief:
            _clear(plan)
            if start:
                # The run would otherwise start from random weights if it is killed before its first checkpoint.
                save_checkpoint(start, checkpoints, 0, plan.config.training.keep_checkpoints)
            found = read_checkpoint(blank(variables), checkpoints, progress.line)
            if found is None and (plan.folder / "bundle").exists():
                raise CycleganError(
                    f"{plan.folder} has a bundle but no checkpoint, so it cannot go on, and starting over would replace"
                    f" the bundle. Put the checkpoints back, or start a new run with --init-from {plan.folder}."
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


def _step_maker(
    state: State,
    plan: Plan,
    record: RunRecord,
    cluster: Cluster,
    readers: tuple[ImageReader, ImageReader],
    session: Session,
    progress: Progress,
) -> tuple[MakeSteps, RunRecord]:
    """Makes a function that makes steps. XLA compiles it as the record says. A new run decides that, and records it.

    Returns:
        The function, and the record with the decision.
    """
    config, strategy = plan.config, cluster.strategy
    dtype = image_dtype(config.training.precision)

    def batches(first_sample: int, num_steps: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
            num_local, batch = context.num_replicas_in_sync // context.num_input_pipelines, config.training.batch_size
            first = context.input_pipeline_id * num_local * batch
            own = Share(session.global_batch, first, num_local, batch)
            pipeline = build_pipeline(readers, dtype, first_sample, num_steps, own)
            # Otherwise several processes ask each other before each step whether all of them have a batch left.
            return pipeline.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

        return iter(strategy.distribute_datasets_from_function(share))

    iterator = batches(session.first_sample, session.num_steps)

    def choose(made: Choice | None) -> tuple[Parts, Choice]:
        return choose_compilation(state, config, strategy, lambda: next(batches(0, 1)), session.num_steps, made)

    made = record.compilation
    with cluster.together():  # the chief finds out what is faster, and the others do the same
        chosen = choose(made) if cluster.is_chief else None
        if chosen and made is None:
            write_run(plan.folder, config, record.model_copy(update={"compilation": chosen[1]}))
    choice = Choice(**json.loads(cluster.from_chief(json.dumps(chosen and dataclasses.asdict(chosen[1])).encode())))
    record = record.model_copy(update={"compilation": choice})
    with cluster.together():
        parts, _ = chosen or choose(choice)
    progress.line(f"XLA compiles {_compiled_parts(choice)}: {choice.reason}.")
    step_many = build_steps(build_step(state, strategy, parts.gradients, parts.update), dtype)

    def make_steps(num_steps: int) -> tuple[dict[str, np.ndarray], bool]:
        with _named_failures(readers), cluster.naming_the_lost():
            metrics, is_finite = step_many(iterator, tf.constant(num_steps))
            return {tag: values.numpy() for tag, values in metrics.items()}, bool(is_finite)

    return make_steps, record


def _securing(
    plan: Plan,
    record: RunRecord,
    inventory: Inventory,
    progress: Progress,
    renew_claim: Callable[[], None],
) -> Callable[[], None]:
    """Makes a function that creates the run directory again if it has been deleted or moved."""

    def secure() -> None:
        try:
            renew_claim()
            found = find_record(plan.folder)
            if found == record:
                return
            if found:
                raise CycleganError(f"Another run has been put into {plan.folder} while this one was training.")
            write_run(plan.folder, plan.config, record, inventory)
        except UsageError as error:
            reason = getattr(error.__cause__, "strerror", None) or error
            raise CycleganError(f"{plan.folder} is gone and cannot be created again: {reason}.") from error
        progress.line(
            f"{plan.folder} was deleted or moved while the training went on. It is created again, and from here on it"
            " has everything that is needed to continue the run, but no TensorBoard events before the next session."
        )

    return secure


def _compiled_parts(choice: Choice) -> str:
    parts = [
        name for name, compiled in (("the gradients", choice.gradients), ("the update", choice.update)) if compiled
    ]
    return " and ".join(parts) or "nothing"


@contextlib.contextmanager
def _named_failures(readers: tuple[ImageReader, ImageReader]) -> Iterator[None]:
    """Names the files that are broken, where TensorFlow only says that its input failed."""
    try:
        yield
    except tf.errors.OpError as error:
        for reader in readers:
            if reader.failure:
                raise reader.failure from error
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise CycleganError(
                "Out of memory. Use a smaller `training.batch_size`, `data.crop_size` or `generator.filters`;"
                " --dry-run estimates how much memory a configuration needs."
            ) from error
        raise


def _describe_start(plan: Plan, session: Session, length: Length) -> str:
    """One line: which steps of which run, the learning rate, and what has changed since the last session."""
    text = (
        f"{'Continuing' if plan.record else 'New run'} {plan.folder}: steps {session.first_step} to {session.last_step}"
    )
    text += f", {length.steps_per_epoch} steps per epoch; {describe_rate(plan.config.optimizer, length)}"
    for key, (old, new) in plan.changes.items():
        text += f"; {key} changed from {old} to {new}"
    return text + "."
