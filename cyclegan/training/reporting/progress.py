"""What a run says while it trains: on the terminal and in `log.txt`."""

import datetime
import pathlib
import time
from collections.abc import Mapping

import rich.console
import rich.progress


class Progress:
    """Lines and a progress bar; where the output is no terminal, lines alone. Every line also goes to `log.txt`.

    Args:
        console: where to print.
        log_file: the `log.txt` of the run, appended to; None until there is a run directory.
    """

    def __init__(self, console: rich.console.Console, log_file: pathlib.Path | None = None):
        self.console = console
        self.log_file = log_file
        self._bar: rich.progress.Progress | None = None
        self._task = rich.progress.TaskID(0)
        self._pending: list[str] = []

    def line(self, text: str) -> None:
        """Says a line."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._log(text)

    def start(self, step: int, last_step: int) -> None:
        """Begins to count steps, from `step` to `last_step`."""
        if not self.console.is_terminal:
            return
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("epoch {task.fields[epoch]}"),
            rich.progress.BarColumn(bar_width=None),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[status]}"),
            rich.progress.TimeRemainingColumn(),
            console=self.console,
            transient=False,
        )
        self._task = self._bar.add_task("", total=last_step, completed=step, epoch=1, status="compiling")
        self._bar.start()

    def advance(self, step: int, epoch: int, metrics: Mapping[str, float], images_per_second: float) -> None:
        """Moves the bar."""
        if self._bar is not None:
            status = f"{short_losses(metrics)}  {images_per_second:.1f} images/s"
            self._bar.update(self._task, completed=step, epoch=epoch, status=status)

    def losses(
        self,
        step: int,
        last_step: int,
        epoch: int,
        metrics: Mapping[str, float],
        images_per_second: float,
        seconds_left: float,
    ) -> None:
        """The mean losses since the last such line: to `log.txt`, and printed where there is no bar."""
        left = datetime.timedelta(seconds=round(seconds_left))
        text = (
            f"epoch {epoch}  step {step}/{last_step}  {short_losses(metrics)}"
            f"  {images_per_second:.1f} images/s  {left} left"
        )
        if self._bar is None:
            self.line(text)
        else:
            self._log(text)

    def stop(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _log(self, text: str) -> None:
        self._pending.append(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")
        if self.log_file is None:
            return
        try:
            with self.log_file.open("a", encoding="utf-8") as file:
                file.writelines(self._pending)
        except OSError:
            return  # a full disk must not stop the training; the lines wait for the next one
        self._pending.clear()


def short_losses(metrics: Mapping[str, float]) -> str:
    """The losses of both directions summed up: adversarial, cycle, identity, discriminators."""

    def total(*tags: str) -> float:
        return sum(metrics[tag] for tag in tags)

    return (
        f"adversarial {total('loss/generator_ab/adversarial', 'loss/generator_ba/adversarial'):.3f}"
        f"  cycle {total('loss/generator_ab/cycle', 'loss/generator_ba/cycle'):.3f}"
        f"  identity {total('loss/generator_ab/identity', 'loss/generator_ba/identity'):.3f}"
        f"  discriminators {total('loss/discriminator_a', 'loss/discriminator_b'):.3f}"
    )
