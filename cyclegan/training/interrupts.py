"""Ctrl-C and `kill`: a wish to stop first, an order the second time."""

import contextlib
import signal

from cyclegan.training.reporting.progress import Progress


class StopSignals:
    """Turns the first SIGINT or SIGTERM into a wish to stop; the second ends the process at once."""

    def __init__(self, progress: Progress):
        self.requested = False
        self._progress = progress

    def __enter__(self) -> "StopSignals":
        self._old = {}
        with contextlib.suppress(ValueError):  # not the main thread: signals are somebody else's
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _: object) -> None:
        self.requested = True
        signal.signal(number, signal.SIG_DFL)
        self._progress.line("Stopping after the present steps, then saving; once more to quit at once.")
