"""The training of a run, from its plan to its bundle."""

import contextlib
import importlib.metadata
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cyclegan.bundle import Bundle, bundle_info, save_bundle
from cyclegan.config.config import Config
from cyclegan.config.sections import image_dtype
from cyclegan.data.batches import ImageReader, build_pipeline, build_readers, steps_per_epoch
from cyclegan.data.sources import Source, fingerprint
from cyclegan.errors import CycleganError, UsageError
from cyclegan.training.checkpoints import list_checkpoints, restore_checkpoint, save_checkpoint
from cyclegan.training.compilation import choose_compilation
from cyclegan.training.gradients import METRICS
from cyclegan.training.interrupts import StopSignals
from cyclegan.training.pacing import Pacing
from cyclegan.training.reporting.monitor import Monitor
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import Plan, RunRecord, lock_run, write_run
from cyclegan.training.state import State, build_state, run_epochs, run_steps, set_averages
from cyclegan.training.step import build_step, build_steps

PROFILED_STEPS = 5


class Outcome(NamedTuple):
    """How a training ended."""

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
) -> Outcome:
    """Trains a run to its end, or until it is interrupted.

    Args:
        plan: from `plan_run`.
        source: the images, their headers scanned.
        strategy: where to train.
        devices: the request that led to `strategy`, for the record.
        progress: what is said, and where.
        init_from: whose weights the generators of a new run start from; from `load_start`.
        profile: whether to write a trace of a few steps for TensorBoard.

    Returns:
        Where the run is and how far it came; not complete after SIGINT or SIGTERM.

    Raises:
        UsageError: if the run cannot start as asked.
        CycleganError: if it cannot go on.
    """
    folder, config = plan.folder, plan.config
    global_batch = config.training.batch_size * strategy.num_replicas_in_sync
    epoch_steps = steps_per_epoch(source, global_batch)
    last_step = run_steps(config, epoch_steps)
    record = plan.record or RunRecord(
        version=importlib.metadata.version("cyclegan"),
        devices=devices,
        num_replicas=strategy.num_replicas_in_sync,
        num_train_a=len(source.train_a),
        num_train_b=len(source.train_b),
    )
    _check_same_setting(plan, record, source, strategy)
    _check_not_shorter(plan, last_step)

    state = build_state(config, strategy, epoch_steps)
    if init_from:
        _start_from_bundle(state, init_from, progress)
    with lock_run(folder), StopSignals(progress) as stop:
        write_run(folder, config, record)
        progress.log_file = folder / "log.txt"
        trackable = state.trackable(strategy)
        first_step = restore_checkpoint(trackable, folder / "checkpoints", progress.line) or 0
        progress.line(_describe_start(plan, first_step, last_step, epoch_steps))
        if first_step >= last_step:
            progress.line(f"All {last_step} steps are done. Give more with --epochs or --steps.")
            return Outcome(folder, first_step, True)

        readers = build_readers(source, config, progress.line)
        with _named_failures(readers):
            iterator = _batches(readers, config, first_step, last_step, global_batch, strategy)
            setting = config.training.jit_compile if record.jit_compile is None else record.jit_compile
            compilation = choose_compilation(
                state,
                config,
                strategy,
                lambda: next(_batches(readers, config, 0, 1, global_batch, strategy)),
                last_step - first_step,
                setting,
            )
            if record.jit_compile is None:
                record = record.model_copy(
                    update={
                        "jit_compile": compilation.jit_compile,
                        "jit_compile_reason": compilation.reason,
                    }
                )
                write_run(folder, config, record)
            progress.line(f"XLA {'on' if compilation.jit_compile else 'off'}: {record.jit_compile_reason}.")

            step = build_step(state, config, strategy, compilation.gradients)
            step_many = build_steps(step, image_dtype(config.training.precision))
            keeper = _Keeper(state, trackable, plan, progress, fingerprint(source))
            monitor = Monitor(state, source, plan, progress, first_step, last_step, epoch_steps, global_batch)
            done = first_step
            pacing = Pacing(config, last_step)
            progress.start(done, last_step)
            try:
                while done < last_step and not stop.requested:
                    if profile and pacing.warm:
                        profile = False
                        tf.profiler.experimental.start(str(folder))
                        num_steps = min(PROFILED_STEPS, pacing.next_length(done))
                        metrics = pacing.timed(step_many, iterator, num_steps)
                        tf.profiler.experimental.stop()
                        progress.line(f"Trace of {num_steps} steps in {folder / 'plugins' / 'profile'}.")
                    else:
                        metrics = pacing.timed(step_many, iterator, pacing.next_length(done))
                    done += len(metrics)
                    _check_finite(metrics, done)
                    keeper.metrics = dict(zip(METRICS, metrics.mean(axis=0).tolist(), strict=True))
                    # Saved first: nothing that is shown may cost what was trained.
                    if done % config.training.checkpoint_every_steps == 0 and done < last_step:
                        keeper.save(done)
                    monitor.saw(metrics, done, pacing.seconds)
                keeper.save(done, final=True)
            finally:
                progress.stop()
                monitor.close()
    return Outcome(folder, done, done >= last_step)


class _Keeper:
    """Saves checkpoint and bundle; a failure in the middle costs no training."""

    def __init__(self, state: State, trackable: tf.train.Checkpoint, plan: Plan, progress: Progress, fingerprint: str):
        self._state, self._trackable, self._plan, self._progress = state, trackable, plan, progress
        self._fingerprint = fingerprint
        self.metrics: dict[str, float] = {}

    def save(self, step: int, final: bool = False) -> None:
        folder, config = self._plan.folder, self._plan.config
        try:
            save_checkpoint(self._trackable, folder / "checkpoints", step, config.training.keep_checkpoints)
            save_bundle(
                folder / "bundle" / "last",
                dict(zip(("ab", "ba"), self._state.translators, strict=True)),
                bundle_info(config, step, fingerprint=self._fingerprint, metrics=self.metrics),
            )
        except (CycleganError, OSError) as error:
            if final:
                raise CycleganError(f"The end of the run cannot be saved: {error}") from error
            self._progress.line(f"{error} Training goes on; the next attempt is at the next checkpoint.")


def _batches(
    readers: tuple[ImageReader, ImageReader],
    config: Config,
    first_step: int,
    last_step: int,
    global_batch: int,
    strategy: tf.distribute.Strategy,
) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    pipeline = build_pipeline(readers, config, first_step, last_step, global_batch)
    return iter(strategy.experimental_distribute_dataset(pipeline))


@contextlib.contextmanager
def _named_failures(readers: tuple[ImageReader, ImageReader]) -> Iterator[None]:
    """Says which files are broken, where TensorFlow only says that its input failed."""
    try:
        yield
    except tf.errors.OpError as error:
        for reader in readers:
            if reader.failure:
                raise reader.failure from error
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise CycleganError(
                "Out of memory. Use a smaller `training.batch_size`, `data.crop_size` or `generator.filters`;"
                " --dry-run estimates what a configuration needs."
            ) from error
        raise


def _check_same_setting(plan: Plan, record: RunRecord, source: Source, strategy: tf.distribute.Strategy) -> None:
    """A continued run needs what decides its batches and pools."""
    expected = {
        "replicas": (record.num_replicas, strategy.num_replicas_in_sync),
        "training images of domain A": (record.num_train_a, len(source.train_a)),
        "training images of domain B": (record.num_train_b, len(source.train_b)),
    }
    for name, (stored, received) in expected.items():
        if stored != received:
            raise UsageError(
                f"{plan.folder} was started with {stored} {name}. Received: {received}."
                f" Continue with the same devices (--devices {record.devices}) and images, or start a new run."
            )


def _check_not_shorter(plan: Plan, last_step: int) -> None:
    checkpoints = list_checkpoints(plan.folder / "checkpoints")
    if checkpoints and checkpoints[-1][0] > last_step:
        raise UsageError(
            f"{plan.folder} has done {checkpoints[-1][0]} steps and cannot be made shorter."
            f" Received: {last_step} steps."
        )


def _start_from_bundle(state: State, bundle: Bundle, progress: Progress) -> None:
    info = bundle.info
    if "ab" in info.weights:
        state.generator_ab.set_weights(bundle.generator("ab").get_weights())
    if "ba" in info.weights:
        state.generator_ba.set_weights(bundle.generator("ba").get_weights())
    set_averages(state)
    progress.line(
        f"Generators ({', '.join(sorted(info.weights))}) start from {bundle.folder}, step {info.provenance.step};"
        " discriminators and optimizers start fresh."
    )


def _describe_start(plan: Plan, first_step: int, last_step: int, epoch_steps: int) -> str:
    config = plan.config
    epochs, decay_epochs = run_epochs(config, epoch_steps)
    text = f"{'Continuing' if plan.record else 'New run'} {plan.folder}: steps {first_step} to {last_step}"
    text += f", {epoch_steps} steps per epoch"
    if config.optimizer.schedule in ("linear", "cosine") and decay_epochs:
        text += (
            f"; the learning rate is {config.optimizer.learning_rate:g} for {epochs - decay_epochs} epochs,"
            f" then decays over {decay_epochs}"
        )
    for key, (old, new) in plan.changes.items():
        text += f"; {key} changed from {old} to {new}"
    return text + "."


def _check_finite(metrics: np.ndarray, done: int) -> None:
    bad = np.argwhere(~np.isfinite(metrics))
    if len(bad):
        row, column = bad[0]
        raise CycleganError(
            f"Training diverged: {METRICS[column]} is not finite at step {done - len(metrics) + row + 1}."
            " Start a new run with a lower `optimizer.learning_rate`, or with `training.precision: float32`."
        )
