"""Turns the metrics of steps into log lines, TensorBoard points and pictures."""

import io

import numpy as np
import PIL.Image

from cyclegan.data.sources import Source
from cyclegan.runtime.atomic_files import write_atomically
from cyclegan.training.gradients import METRICS
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.reporting.samples import Samples
from cyclegan.training.reporting.summaries import Summaries
from cyclegan.training.run_directory import Plan
from cyclegan.training.state import State


class Monitor:
    """Told of every call, speaks when something is due.

    Args:
        state: its generators draw the samples.
        source: the images of the samples.
        plan: the run directory and the intervals.
        progress: for log lines.
        first_step: where this process begins.
        last_step: where the run ends.
        epoch_steps: steps per epoch.
        global_batch: images of each domain per step.
    """

    def __init__(
        self,
        state: State,
        source: Source,
        plan: Plan,
        progress: Progress,
        first_step: int,
        last_step: int,
        epoch_steps: int,
        global_batch: int,
    ):
        self._state, self._plan, self._progress = state, plan, progress
        self._last_step, self._epoch_steps, self._global_batch = last_step, epoch_steps, global_batch
        self._samples = Samples(source, plan.config, state)
        self._summaries = Summaries(plan.folder, progress.line)
        if first_step == 0:
            self._summaries.configuration(plan.config)
        self._window: list[np.ndarray] = []
        self._window_seconds: list[float] = []
        self._first_call = True

    def saw(self, metrics: np.ndarray, done: int, seconds: float) -> None:
        """Takes in the metrics [steps, len(METRICS)] of one call that took `seconds` and ended at step `done`."""
        training = self._plan.config.training
        self._window.append(metrics)
        if not self._first_call:  # which traces and compiles
            self._window_seconds.append(seconds / len(metrics))
        self._first_call = False
        step_seconds = float(np.median(self._window_seconds or [seconds / len(metrics)]))
        rate = self._global_batch / step_seconds
        epoch = (done - 1) // self._epoch_steps + 1
        means = dict(zip(METRICS, np.concatenate(self._window).mean(axis=0).tolist(), strict=True))
        self._progress.advance(done, epoch, means, rate)
        if done % training.log_every_steps == 0 or done == self._last_step:
            self._progress.losses(done, self._last_step, epoch, means, rate, (self._last_step - done) * step_seconds)
            learning_rate = float(self._state.generator_optimizer.learning_rate.numpy())
            self._summaries.scalars(
                done,
                # Penalties that are off would only be flat lines.
                {tag: mean for tag, mean in means.items() if mean or not tag.startswith("penalty/")}
                | {
                    "learning_rate": learning_rate,
                    "speed/images_per_second": rate,
                    "speed/step_seconds": step_seconds,
                },
            )
            self._window, self._window_seconds = [], []
        if done % training.sample_every_steps == 0 or done == self._last_step:
            self._show_samples(done)

    def close(self) -> None:
        """Leaves everything visible to TensorBoard."""
        self._summaries.flush()

    def _show_samples(self, step: int) -> None:
        for tag, grid in self._samples.grids().items():
            self._summaries.grid(step, f"samples/{tag}", grid)
            buffer = io.BytesIO()
            PIL.Image.fromarray(grid).save(buffer, "PNG")
            try:
                folder = self._plan.folder / "samples"
                folder.mkdir(exist_ok=True)
                write_atomically(folder / f"step-{step:08d}-{tag}.png", buffer.getvalue())
            except OSError as error:
                self._progress.line(f"The samples of step {step} cannot be written: {error.strerror}.")
        self._summaries.flush()
