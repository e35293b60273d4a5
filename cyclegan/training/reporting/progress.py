"""The text that a run writes while it trains: on the terminal and in `log.txt`."""

import contextlib
import datetime
import pathlib
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

import rich.console
import rich.progress

from cyclegan.errors import printable


class Status(NamedTuple):
    """How far a run is, and how it is doing.

    Attributes:
        step: the number of completed steps.
        last_step: the number of steps of the complete run.
        epoch: the number of the present epoch, counted from 1.
        metrics: the mean of each metric since the last line of losses, by its tag.
        step_seconds: the time that a step takes, in seconds.
        images_per_second: images of each domain.
    """

    step: int
    last_step: int
    epoch: int
    metrics: Mapping[str, float]
    step_seconds: float
    images_per_second: float


class Progress:
    """Lines and a progress bar, or lines alone where the output is not a terminal. All lines also go to `log.txt`.

    Any thread may write a line.

    Args:
        console: the console to print to.
        log_file: the `log.txt` of the run, to which lines are appended. None: there is no run directory yet.
    """

    def __init__(self, console: rich.console.Console, log_file: pathlib.Path | None = None):
        self.console = console
        self.log_file = log_file
        self._bar: rich.progress.Progress | None = None
        self._task = rich.progress.TaskID(0)
        self._pending: list[str] = []
        # A signal that arrives during a line writes another one in the same thread, which may take this lock again.
        self._lock = threading.RLock()

    def line(self, text: str) -> None:
        """Writes a line to `log.txt` and prints it. What cannot be printed does not cost the training."""
        text = printable(text)
        self.log(text)
        try:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        except UnicodeError:
            ascii_text = text.encode("ascii", "backslashreplace").decode()
            self.console.print(ascii_text, markup=False, highlight=False, soft_wrap=True)
        except (OSError, SystemExit, RuntimeError):
            # Rich raises SystemExit where nobody reads its output any more. Python raises RuntimeError in a signal
            # handler that prints while the line before is still being written, as to a pipe that is full.
            pass

    def start(self, step: int, last_step: int) -> None:
        """Shows the progress bar, if the output is a terminal, from `step` to `last_step`."""
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

    def advance(self, status: Status) -> None:
        """Moves the progress bar."""
        if self._bar is not None:
            text = f"{short_losses(status.metrics)}  {status.images_per_second:.1f} images/s"
            self._bar.update(self._task, completed=status.step, epoch=status.epoch, status=text)

    def losses(self, status: Status) -> None:
        """Writes a line of losses to `log.txt`, and prints it where there is no progress bar."""
        left = datetime.timedelta(seconds=round((status.last_step - status.step) * status.step_seconds))
        text = (
            f"epoch {status.epoch}  step {status.step}/{status.last_step}  {short_losses(status.metrics)}"
            f"  {status.images_per_second:.1f} images/s  {left} left"
        )
        if self._bar is None:
            self.line(text)
        else:
            self.log(text)

    def stop(self) -> None:
        """Ends the progress bar."""
        if self._bar is not None:
            with contextlib.suppress(OSError, SystemExit):  # the terminal has been closed
                self._bar.stop()
            self._bar = None

    def log(self, text: str) -> None:
        """Writes a line to `log.txt` alone."""
        with self._lock:
            self._pending.append(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {printable(text)}\n")
            log_file = self.log_file  # another thread may set it
            if log_file is None:
                return
            try:
                with log_file.open("a", encoding="utf-8") as file:
                    file.writelines(self._pending)
            except OSError:
                return  # a full disk must not stop the training, so the lines wait for the next attempt
            self._pending.clear()


def short_losses(metrics: Mapping[str, float]) -> str:
    """The losses in short: adversarial, cycle, identity and discriminators, each the sum of both directions."""

    def total(*tags: str) -> float:
        return sum(metrics[tag] for tag in tags)

    return (
        f"adversarial {total('loss/generator_ab/adversarial', 'loss/generator_ba/adversarial'):.3f}"
        f"  cycle {total('loss/generator_ab/cycle', 'loss/generator_ba/cycle'):.3f}"
        f"  identity {total('loss/generator_ab/identity', 'loss/generator_ba/identity'):.3f}"
        f"  discriminators {total('loss/discriminator_a', 'loss/discriminator_b'):.3f}"
    )
