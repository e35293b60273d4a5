"""Ctrl-C, `kill` and a closed terminal: the first signal is a request to stop, the second ends the process."""

import contextlib
import signal

from cyclegan.training.reporting.progress import Progress


class StopSignals:
    """Turns the first SIGINT, SIGTERM or SIGHUP into a request to stop. The second one ends the process at once.

    `received` is the number of the signal, 0 before it.
    """

    def __init__(self, progress: Progress):
        self.received = 0
        self._progress = progress

    def __enter__(self) -> "StopSignals":
        self._old = {}
        with contextlib.suppress(ValueError):  # signals can be handled in the main thread only
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) != signal.SIG_IGN:  # as nohup ignores SIGHUP
                    self._old[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _: object) -> None:
        self.received = number
        for each in self._old:
            signal.signal(each, signal.SIG_DFL)
        self._progress.line("Stopping after the current steps, then saving. Send the signal once more to quit at once.")
