"""Turns the metrics of steps into lines of the log, TensorBoard points and pictures."""

import io
import math

import numpy as np
import PIL.Image
import tensorflow as tf

from cyclegan.data.sources import Source
from cyclegan.runtime.atomic_files import write_atomically
from cyclegan.training.hooks import Call, Hook, mean_metrics
from cyclegan.training.length import Session
from cyclegan.training.pacing import is_sample_due
from cyclegan.training.reporting.progress import Progress, Status
from cyclegan.training.reporting.samples import Samples
from cyclegan.training.reporting.summaries import Summaries
from cyclegan.training.run_directory import Plan
from cyclegan.training.schedules import learning_rate
from cyclegan.training.state import State


class Monitor(Hook):
    """Sees every call, and shows losses and samples where they are due.

    Args:
        state: its generators translate the samples.
        source: the images from which the samples are taken.
        plan: the run directory and the intervals.
        progress: the progress bar and the log.
        session: the steps that are left.
        summaries: the TensorBoard events of the run.
    """

    def __init__(
        self,
        state: State,
        source: Source,
        plan: Plan,
        progress: Progress,
        session: Session,
        summaries: Summaries,
    ):
        self._state, self._plan, self._progress = state, plan, progress
        self._session = session
        self._samples = Samples(source, plan.config, state)
        self._summaries = summaries
        if session.first_step == 0:
            self._summaries.configuration(plan.config)
        self._window: list[Call] = []  # the calls since the last line of losses
        progress.start(session.first_step, session.last_step)

    def after_call(self, call: Call) -> None:
        """Moves the progress bar, and writes the losses and samples that are due."""
        training, last_step = self._plan.config.training, self._session.last_step
        self._window.append(call)
        status = self._status(call)
        self._progress.advance(status)
        if call.step % training.log_every_steps == 0 or call.step == last_step:
            self._progress.losses(status)
            self._write_scalars(status)
            self._window = []
        if is_sample_due(call.step, training.sample_every_steps) or call.step == last_step:
            self._show_samples(call.step)

    def close(self) -> None:
        """Ends the progress bar, and leaves everything visible to TensorBoard."""
        self._summaries.flush()
        self._progress.stop()

    def _status(self, call: Call) -> Status:
        """The state of the run after `call`; means and medians are over the window."""
        # The first call also traces and compiles, so its time counts only where there is no other.
        timed = [one for one in self._window if not one.is_first] or [call]
        step_seconds = float(np.median([one.seconds / one.num_steps for one in timed]))
        return Status(
            step=call.step,
            last_step=self._session.last_step,
            epoch=(self._session.samples(call.step) - 1) // self._state.length.samples_per_epoch + 1,
            metrics=mean_metrics(self._window),
            step_seconds=step_seconds,
            images_per_second=self._session.global_batch / step_seconds,
        )

    def _write_scalars(self, status: Status) -> None:
        samples = self._session.samples(status.step - 1)
        # Penalties that are off would only be flat lines. All are NaN where all steps were skipped.
        shown = {
            tag: mean
            for tag, mean in status.metrics.items()
            if math.isfinite(mean) and (mean or not tag.startswith("penalty/"))
        }
        if skipped := int(self._state.skipped.numpy()):
            shown["skipped_steps"] = float(skipped)
        self._summaries.scalars(
            status.step,
            shown
            | {
                # of the last update, as everything else in this point
                "learning_rate": float(
                    learning_rate(
                        self._plan.config.optimizer, self._state.length, tf.constant(samples), self._state.rate_factor
                    )
                ),
                "speed/images_per_second": status.images_per_second,
                "speed/step_seconds": status.step_seconds,
            },
        )

    def _show_samples(self, step: int) -> None:
        grids = self._samples.grids()
        for tag, grid in grids.items():
            self._summaries.grid(step, f"samples/{tag}", grid)
        self._summaries.flush()
        folder = self._plan.folder / "samples"
        try:
            folder.mkdir(exist_ok=True)
            for tag, grid in grids.items():
                buffer = io.BytesIO()
                PIL.Image.fromarray(grid).save(buffer, "PNG")
                write_atomically(folder / f"step-{step:08d}-{tag}.png", buffer.getvalue())
        except OSError as error:
            self._progress.line(f"The samples of step {step} cannot be written: {error.strerror}.")
