"""What a run has found out about itself: its scores and symptoms, in the order in which they were found.

A session reads what the sessions before it have found up to the step that it continues from, so a run that was killed
decides the same as one that was not.
"""

import contextlib
import json
import math
import pathlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from cyclegan.runtime.atomic_files import write_atomically
from cyclegan.training.checkpoints import first_free

HISTORY_FILE = "metrics.jsonl"


class Entry(NamedTuple):
    """Scores, or symptoms, after `step` completed steps, by their names.

    `protocol` says how scores were made: those of different protocols must not be compared.
    """

    step: int
    values: Mapping[str, float]
    protocol: str = ""


def read_history(folder: pathlib.Path, last_step: int) -> tuple[Entry, ...]:
    """The entries of a run up to a step. What was found later will be found again.

    Lines that are damaged are passed over.

    Args:
        folder: the run directory.
        last_step: the step that the run continues from.
    """
    return tuple(entry for entry in _read(folder) if entry and entry.step <= last_step)


def _read(folder: pathlib.Path) -> list[Entry | None]:
    """All entries of a run, None for each line that is damaged."""
    try:
        lines = (folder / HISTORY_FILE).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    entries: list[Entry | None] = []
    for line in lines:
        try:
            content = json.loads(line)
            step, protocol = int(content.pop("step")), str(content.pop("protocol", ""))
            values = finite({str(name): float(value) for name, value in content.items()})
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            entries.append(None)
        else:
            entries.append(Entry(step, values, protocol))
    return entries


class History:
    """What a run has found out about itself so far. Each new entry is written at once.

    `first_step` is the step that the run continues from. JSON has no numbers that are not finite: these are left out.

    Args:
        folder: the run directory.
        last_step: the step that the run continues from.
        report: called with a line if something cannot be written. The run goes on without it.
    """

    def __init__(self, folder: pathlib.Path, last_step: int, report: Callable[[str], None]):
        self._folder, self._report, self.first_step = folder, report, last_step
        self.entries = read_history(folder, last_step)
        self._is_writable = True

    def add(self, entry: Entry) -> None:
        """Adds an entry. The file is replaced as a whole, so that it never has half of a line."""
        self.entries = (*self.entries, entry._replace(values=finite(entry.values)))
        self._write()

    def settle(self) -> None:
        """Makes the file that of this session.

        It no longer has what was found after the step that the run continues from: the run takes another way from
        there. If a part of it is damaged, a copy is kept.
        """
        entries, path = _read(self._folder), self._folder / HISTORY_FILE
        if damaged := entries.count(None):
            copy = first_free(path.with_name(f"{path.name}.damaged"))
            with contextlib.suppress(OSError):
                shutil.copyfile(path, copy)
            self._report(
                f"{path} is damaged: {damaged} of its {len(entries)} lines cannot be read. A copy is kept in {copy}."
                " Scores and counts of evaluations that were in these lines are not known any more."
            )
        if len(entries) > len(self.entries):
            self._write()

    def _write(self) -> None:
        lines = [
            json.dumps({"step": step, **({"protocol": protocol} if protocol else {}), **values}) + "\n"
            for step, values, protocol in self.entries
        ]
        try:
            write_atomically(self._folder / HISTORY_FILE, "".join(lines).encode())
            self._is_writable = True
        except OSError as error:
            if self._is_writable:  # it is said once
                self._report(f"{self._folder / HISTORY_FILE} cannot be written: {error.strerror}. Training goes on.")
            self._is_writable = False

    def scored_by(self, protocol: str) -> tuple[Entry, ...]:
        """The scores that were made by a protocol."""
        return tuple(entry for entry in self.entries if entry.protocol == protocol)


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """The values that are finite numbers."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def best_of(entries: Iterable[Entry], metric: str) -> Entry | None:
    """The first entry with the smallest value of the metric; None if no entry has it."""
    known = [entry for entry in entries if metric in entry.values]
    return min(known, key=lambda entry: entry.values[metric], default=None)


def count_without_gain(history: Sequence[Entry], metric: str) -> int:
    """How many of the last entries are not better than the best one before them; smaller is better."""
    best, count = math.inf, 0
    for value in _values(history, metric):
        count = 0 if value < best else count + 1
        best = min(best, value)
    return count


def count_plateaus(history: Sequence[Entry], metric: str, patience: int) -> int:
    """How often so many entries in a row were not better than the best one before. The count then starts again."""
    best, waiting, plateaus = math.inf, 0, 0
    for value in _values(history, metric):
        waiting = 0 if value < best else waiting + 1
        best = min(best, value)
        if waiting == patience:
            waiting, plateaus = 0, plateaus + 1
    return plateaus


def _values(history: Sequence[Entry], metric: str) -> list[float]:
    return [entry.values[metric] for entry in history if metric in entry.values]
