"""The training of a run, from its plan to its bundle."""

import contextlib
import importlib.metadata
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cyclegan.bundle import Bundle
from cyclegan.config.sections import image_dtype
from cyclegan.data.batches import ImageReader, build_pipeline, build_readers, steps_per_epoch
from cyclegan.data.sources import Source, fingerprint
from cyclegan.errors import CycleganError
from cyclegan.training.checkpoints import restore_checkpoint
from cyclegan.training.compilation import choose_compilation
from cyclegan.training.hooks import Hook
from cyclegan.training.interrupts import StopSignals
from cyclegan.training.keeper import Keeper
from cyclegan.training.length import Length, run_length
from cyclegan.training.loop import iterate
from cyclegan.training.pacing import Pacing
from cyclegan.training.reporting.monitor import Monitor
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import (
    Plan,
    RunRecord,
    lock_run,
    refuse_other_setting,
    refuse_shorter,
    write_run,
)
from cyclegan.training.state import State, build_state
from cyclegan.training.step import build_step, build_steps
from cyclegan.training.trace import traced
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
    strategy: tf.distribute.Strategy,
    devices: str,
    progress: Progress,
    *,
    init_from: Bundle | None = None,
    profile: bool = False,
) -> TrainingResult:
    """Trains a run to its end, or until it is interrupted.

    Args:
        plan: the result of `plan_run`.
        source: the images. Their headers have been scanned.
        strategy: the strategy to train under.
        devices: the value of `--devices` that led to `strategy`, for the record.
        progress: says what happens.
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
        num_train_a=len(source.train_a),
        num_train_b=len(source.train_b),
    )
    refuse_other_setting(folder, record, strategy.num_replicas_in_sync, len(source.train_a), len(source.train_b))
    refuse_shorter(folder, length.num_steps)
    state = build_state(config, strategy, length.steps_per_epoch)
    if init_from:
        progress.line(start_from_bundle(state, init_from))

    with lock_run(folder), StopSignals(progress) as stop:
        write_run(folder, config, record)
        progress.log_file = folder / "log.txt"
        trackable = state.trackable(strategy)
        first_step = restore_checkpoint(trackable, folder / "checkpoints", progress.line) or 0
        progress.line(_describe_start(plan, first_step, length))
        if first_step >= length.num_steps:
            progress.line(f"All {length.num_steps} steps are done. Give more with --epochs or --steps.")
            return TrainingResult(folder, first_step, True)

        readers = build_readers(source, config.data, config.training.seed, progress.line)
        with _named_failures(readers):
            make_steps = _step_maker(state, plan, record, strategy, readers, first_step, length.num_steps, progress)
            if profile:
                make_steps = traced(make_steps, folder, progress.line)
            pacing = Pacing(config.training, length.num_steps)
            hooks: list[Hook] = [
                Keeper(state, trackable, plan, progress, fingerprint(source)),
                Monitor(state, source, plan, progress, first_step, length, global_batch),
            ]
            step = iterate(make_steps, first_step, length.num_steps, pacing, hooks, lambda: stop.requested)
    return TrainingResult(folder, step, step >= length.num_steps)


def _step_maker(
    state: State,
    plan: Plan,
    record: RunRecord,
    strategy: tf.distribute.Strategy,
    readers: tuple[ImageReader, ImageReader],
    first_step: int,
    last_step: int,
    progress: Progress,
) -> Callable[[int], dict[str, np.ndarray]]:
    """A function that makes a number of steps and returns each metric as an array [steps].

    XLA compiles it as the record says. A new run decides that, and records it.
    """
    config = plan.config
    global_batch = config.training.batch_size * strategy.num_replicas_in_sync
    dtype = image_dtype(config.training.precision)

    def batches(first: int, last: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        pipeline = build_pipeline(readers, dtype, first, last, global_batch)
        return iter(strategy.experimental_distribute_dataset(pipeline))

    iterator = batches(first_step, last_step)
    setting = config.training.jit_compile if record.jit_compile is None else record.jit_compile
    num_steps = last_step - first_step
    compilation = choose_compilation(state, config, strategy, lambda: next(batches(0, 1)), num_steps, setting)
    if record.jit_compile is None:
        decided = {"jit_compile": compilation.jit_compile, "jit_compile_reason": compilation.reason}
        record = record.model_copy(update=decided)
        write_run(plan.folder, config, record)
    progress.line(f"XLA {'on' if compilation.jit_compile else 'off'}: {record.jit_compile_reason}.")

    step = build_step(state, config, strategy, compilation.gradients)
    step_many = build_steps(step, dtype)

    def make_steps(num_steps: int) -> dict[str, np.ndarray]:
        return {tag: values.numpy() for tag, values in step_many(iterator, tf.constant(num_steps)).items()}

    return make_steps


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
    optimizer = plan.config.optimizer
    text = f"{'Continuing' if plan.record else 'New run'} {plan.folder}: steps {first_step} to {length.num_steps}"
    text += f", {length.steps_per_epoch} steps per epoch"
    if optimizer.schedule in ("linear", "cosine") and length.decay_epochs:
        constant_epochs = length.num_epochs - length.decay_epochs
        text += (
            f"; the learning rate is {optimizer.learning_rate:g} for {constant_epochs} epochs,"
            f" then decays over {length.decay_epochs}"
        )
    for key, (old, new) in plan.changes.items():
        text += f"; {key} changed from {old} to {new}"
    return text + "."
