"""Checkpoints, which are either whole or absent, and which are verified when they are read.

A checkpoint is one file of plain arrays such as `step-00001000.npz`, which appears by one rename. Each array in it has
a checksum. There is no index file beside the checkpoints, because it could disagree with them.
"""

import contextlib
import itertools
import os
import pathlib
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from cyclegan.errors import CycleganError, first_line
from cyclegan.runtime.atomic_files import open_atomically

_NAME = re.compile(r"step-(\d{8,})\.npz")

Arrays = Mapping[str, np.ndarray]


def checkpoint_name(step: int) -> str:
    """The name of the file of a checkpoint."""
    return f"step-{step:08d}.npz"


def list_checkpoints(folder: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    """The step and the file of every checkpoint, oldest first. Those that were set aside do not count."""
    if not folder.is_dir():
        return []
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def save_checkpoint(arrays: Arrays, folder: pathlib.Path, step: int, keep: int, needed: int = 0) -> pathlib.Path:
    """Writes a checkpoint, then removes old ones.

    Args:
        arrays: the values of all variables by their names.
        folder: the `checkpoints` folder of a run.
        step: the number of completed steps.
        keep: the number of newest checkpoints that stay, at least 1. The new one always stays.
        needed: the newest checkpoint of this step or before stays too.

    Returns:
        The file of the new checkpoint.

    Raises:
        CycleganError: if it cannot be written, such as on a full disk. Older checkpoints are then untouched.
    """
    target = folder / checkpoint_name(step)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for litter in folder.glob(".*.tmp"):  # of a process that was killed while it wrote
            litter.unlink(missing_ok=True)
        with open_atomically(target) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # no variable is called allow_pickle
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise CycleganError(f"The checkpoint {target} cannot be written: {reason}.") from error
    checkpoints = list_checkpoints(folder)
    back = [path for number, path in checkpoints if number <= needed]
    for _, path in checkpoints[:-keep]:
        if path not in (target, *back[-1:]):
            with contextlib.suppress(OSError):  # it is gone, or cannot be removed, which costs nothing but room
                path.unlink()
    return target


class Found(NamedTuple):
    """The newest checkpoint that can be used, and those after it that cannot, each with its reason.

    Without one that can be used, `arrays` is None and `step` 0.
    """

    step: int
    arrays: Arrays | None
    unusable: list[tuple[pathlib.Path, str]]


def find_checkpoint(like: Arrays, folder: pathlib.Path) -> Found:
    """Looks for the newest checkpoint that can be used. Nothing is changed.

    Args:
        like: arrays with the names, shapes and dtypes that the checkpoint must have, one of them `step`. Names that end
            with a number are of a replica, and the checkpoint may be of more or fewer replicas.
        folder: the `checkpoints` folder of a run.

    Raises:
        CycleganError: if one cannot be read at the moment, which does not mean that it is damaged.
    """
    unusable: list[tuple[pathlib.Path, str]] = []
    for step, path in reversed(list_checkpoints(folder)):
        try:
            _verify(path)
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except OSError as error:
            raise CycleganError(f"{path} cannot be read: {error.strerror or first_line(error)}.") from error
        except (EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
            unusable.append((path, f"is damaged: {first_line(error).rstrip('.')}"))
            continue
        if problem := _misfit(like, arrays):
            unusable.append((path, f"does not fit the configuration of the run: {problem}"))
        elif arrays["step"] != step:
            name = checkpoint_name(int(arrays["step"]))
            unusable.append((path, f"is of step {arrays['step']}, so its name must be {name}"))
        else:
            return Found(step, arrays, unusable)
    return Found(0, None, unusable)


def read_checkpoint(like: Arrays, folder: pathlib.Path, warn: Callable[[str], None]) -> tuple[int, Arrays] | None:
    """The newest checkpoint that can be used. Newer ones that cannot are renamed, so that they are not found again.

    Args:
        like: see `find_checkpoint`.
        folder: see `find_checkpoint`.
        warn: called with a line for every checkpoint that is set aside.

    Returns:
        Its step and its arrays, or None if there is no checkpoint yet.

    Raises:
        CycleganError: if there are checkpoints, but none of them can be used, because the run must not start over
            silently; or if one cannot be read at the moment.
    """
    found = find_checkpoint(like, folder)
    if found.arrays is not None:
        for path, reason in found.unusable:
            warn(f"{path} {_set_aside(path)}, because it {reason}.")
        return found.step, found.arrays
    if found.unusable:
        newest, reason = found.unusable[0]
        raise CycleganError(
            f"None of the checkpoints in {folder} can be used. The newest, {newest.name}, {reason}. Put an intact one"
            " back, start over with --fresh, or start a new run in another directory; --init-from takes the generators"
            " of a run that still has its bundle."
        )
    return None


def _verify(path: pathlib.Path) -> None:
    """Compares every array with its checksum."""
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        if name := archive.testzip():
            raise zipfile.BadZipFile(f"the checksum of `{name}` is wrong")


def _set_aside(path: pathlib.Path) -> str:
    """Renames a checkpoint to a name that is free, and says what has become of it."""
    target = first_free(path.with_name(f"{path.name}.damaged"))
    try:
        path.rename(target)
    except OSError as error:  # the next start finds it again
        return f"is left out, but cannot be renamed ({error.strerror})"
    return f"is set aside as {target.name}"


def first_free(path: pathlib.Path) -> pathlib.Path:
    """The path, or the first of path-2, path-3 and so on where there is nothing yet."""
    names = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return path if not os.path.lexists(path) else next(name for name in names if not os.path.lexists(name))


def _misfit(like: Arrays, arrays: Arrays) -> str | None:
    """Says how the arrays of a checkpoint differ from those that are needed, of which the first replica has all."""
    like, arrays = (
        {name: value for name, value in each.items() if not re.search(r"/[1-9]\d*$", name)} for each in (like, arrays)
    )
    for name in sorted(like.keys() | arrays.keys()):
        needed, found = (
            f"{tuple(each[name].shape)} {each[name].dtype}" if name in each else "no array" for each in (like, arrays)
        )
        if needed != found:
            return f"`{name}` must be {needed}. Received: {found}"
    return None
