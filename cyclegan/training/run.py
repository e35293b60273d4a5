"""The training of a run, from its plan to its bundle."""

import contextlib
import importlib.metadata
import pathlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cyclegan.bundle import Bundle
from cyclegan.config.sections import image_dtype
from cyclegan.data.batches import ImageReader, build_pipeline, build_readers, steps_per_epoch
from cyclegan.data.inventory import Inventory, fingerprint
from cyclegan.data.sources import Source
from cyclegan.errors import CycleganError
from cyclegan.runtime.atomic_files import remove_litter
from cyclegan.runtime.process import ALONE
from cyclegan.training.checkpoints import read_checkpoint, save_checkpoint
from cyclegan.training.compilation import choose_compilation
from cyclegan.training.hooks import Hook
from cyclegan.training.interrupts import StopSignals
from cyclegan.training.keeper import Keeper, renew_bundle
from cyclegan.training.length import Length, run_length
from cyclegan.training.loop import iterate
from cyclegan.training.pacing import MakeSteps, Pacing
from cyclegan.training.record import Choice, RunRecord, write_run
from cyclegan.training.reporting.monitor import Monitor
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import CHECKPOINTS, START, Plan, refuse_other_replicas, refuse_shorter
from cyclegan.training.schedules import describe_rate
from cyclegan.training.state import State, blank, build_state, snapshot
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
    strategy: tf.distribute.Strategy,
    devices: str,
    progress: Progress,
    cache_dir: pathlib.Path | None = None,
    *,
    init_from: Bundle | None = None,
    profile: bool = False,
) -> TrainingResult:
    """Trains a run to its end, or until it is interrupted.

    Args:
        plan: the plan of the run, whose directory this process has claimed.
        source: the images to train with and to test with.
        inventory: the training images, for a new run.
        strategy: the strategy to train under.
        devices: the value of `--devices` that led to `strategy`, for the record.
        progress: says what happens.
        cache_dir: the folder in which the images are cached; None caches none.
        init_from: the bundle that the generators of a new run start from, as `load_start` returns it.
        profile: whether to write a trace of a few steps for TensorBoard.

    Returns:
        Where the run is and how far it came. It is not complete after SIGINT or SIGTERM.

    Raises:
        UsageError: if the run cannot start as asked.
        CycleganError: if it cannot go on.
    """
    folder, config = plan.folder, plan.config
    global_batch = config.training.batch_size * strategy.num_replicas_in_sync
    length = run_length(config.training, steps_per_epoch(source, global_batch))
    record = plan.record or RunRecord(
        version=importlib.metadata.version("cyclegan"),
        devices=devices,
        num_replicas=strategy.num_replicas_in_sync,
        fingerprint=fingerprint(inventory),
    )
    refuse_other_replicas(folder, record, strategy.num_replicas_in_sync)
    refuse_shorter(folder, length.num_steps)
    state = build_state(config, strategy, length)
    variables = state.named(strategy)
    _clear(plan)
    if init_from:
        progress.line(start_from_bundle(state, init_from))
        # The run would otherwise start from random weights if it is killed before its first checkpoint.
        save_checkpoint(snapshot(variables), folder / CHECKPOINTS, 0, config.training.keep_checkpoints)

    with StopSignals(progress) as stop:
        first_step = _restore(variables, folder, progress)
        write_run(folder, config, record, inventory)
        progress.log_file = folder / "log.txt"
        ALONE.barrier()
        progress.line(_describe_start(plan, first_step, length))
        if first_step >= length.num_steps:
            progress.line(f"All {length.num_steps} steps are done. Give more with --epochs or --steps.")
            if renew_bundle(variables, plan, first_step, record.fingerprint):
                progress.line(f"The bundle was missing or older than step {first_step}, and has been written again.")
            return TrainingResult(folder, first_step, True)

        readers = build_readers(source, config.data, config.training.seed, progress.line, cache_dir)
        with _named_failures(readers):
            make_steps = _step_maker(state, plan, record, strategy, readers, first_step, length.num_steps, progress)
            pacing = Pacing(config.training, length.num_steps)
            hooks: list[Hook] = []
            if profile:
                make_steps = trace = Trace(make_steps, folder, progress.line)
                hooks = [trace]
            if ALONE.is_chief:
                hooks += [
                    Keeper(variables, plan, progress, record.fingerprint),
                    Monitor(state, source, plan, progress, first_step, length, global_batch),
                ]
            step = iterate(make_steps, first_step, length.num_steps, pacing, hooks, lambda: stop.requested)
    return TrainingResult(folder, step, step >= length.num_steps)


def _clear(plan: Plan) -> None:
    """Removes what a session that was killed has left. Nobody else writes here now."""
    for place in (plan.folder, plan.folder / "samples"):
        remove_litter(place, min_age=0)
    if plan.record is None:  # its first start had another bundle, or none
        (plan.folder / CHECKPOINTS / START).unlink(missing_ok=True)


def _restore(variables: Mapping[str, tf.Variable], folder: pathlib.Path, progress: Progress) -> int:
    """Gives the variables the values of the newest intact checkpoint. Returns its step, or 0 if nothing was ever saved.

    Raises:
        CycleganError: if the checkpoints cannot be used, or are gone.
    """
    found = read_checkpoint(blank(variables), folder / CHECKPOINTS, progress.line)
    if found is None and (folder / "bundle").exists():
        raise CycleganError(
            f"{folder} has a bundle but no checkpoint, so it cannot go on, and starting over would replace the bundle."
            f" Put the checkpoints back, or start a new run with --init-from {folder}."
        )
    if found is None:
        return 0
    step, arrays = found
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return step


def _step_maker(
    state: State,
    plan: Plan,
    record: RunRecord,
    strategy: tf.distribute.Strategy,
    readers: tuple[ImageReader, ImageReader],
    first_step: int,
    last_step: int,
    progress: Progress,
) -> MakeSteps:
    """Makes a function that makes steps. XLA compiles it as the record says. A new run decides that, and records it."""
    config = plan.config
    global_batch = config.training.batch_size * strategy.num_replicas_in_sync
    dtype = image_dtype(config.training.precision)

    def batches(first: int, last: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        pipeline = build_pipeline(readers, dtype, first, last, global_batch)
        return iter(strategy.experimental_distribute_dataset(pipeline))

    iterator = batches(first_step, last_step)
    parts, choice = choose_compilation(
        state, config, strategy, lambda: next(batches(0, 1)), last_step - first_step, record.compilation
    )
    if record.compilation is None:
        write_run(plan.folder, config, record.model_copy(update={"compilation": choice}))
    progress.line(f"XLA compiles {_compiled_parts(choice)}: {choice.reason}.")
    step_many = build_steps(build_step(state, strategy, parts.gradients, parts.update), dtype)

    def make_steps(num_steps: int) -> tuple[dict[str, np.ndarray], bool]:
        with _named_failures(readers):
            metrics, is_finite = step_many(iterator, tf.constant(num_steps))
            return {tag: values.numpy() for tag, values in metrics.items()}, bool(is_finite)

    return make_steps


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


def _describe_start(plan: Plan, first_step: int, length: Length) -> str:
    """One line: which steps of which run, the learning rate, and what has changed since the last session."""
    text = f"{'Continuing' if plan.record else 'New run'} {plan.folder}: steps {first_step} to {length.num_steps}"
    text += f", {length.steps_per_epoch} steps per epoch; {describe_rate(plan.config.optimizer, length)}"
    for key, (old, new) in plan.changes.items():
        text += f"; {key} changed from {old} to {new}"
    return text + "."
