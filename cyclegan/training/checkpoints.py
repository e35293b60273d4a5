"""Checkpoints, which are either whole or absent, and which are verified when they are read.

A checkpoint is a folder such as `step-00001000`, which appears by one rename. There is no index file beside the
folders, because it could disagree with them.
"""

import os
import pathlib
import re
import shutil
from collections.abc import Callable

import tensorflow as tf

from cyclegan.errors import CycleganError, first_line

_NAME = re.compile(r"step-(\d{8,})")


def list_checkpoints(folder: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    """The step and the folder of every complete checkpoint, oldest first."""
    if not folder.is_dir():
        return []
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def save_checkpoint(state: tf.train.Checkpoint, folder: pathlib.Path, step: int, keep: int) -> pathlib.Path:
    """Writes a checkpoint, then removes old ones.

    Args:
        state: everything to save.
        folder: the `checkpoints` folder of a run.
        step: the number of completed steps.
        keep: the number of newest checkpoints that stay, at least 1.

    Returns:
        The folder of the new checkpoint.

    Raises:
        CycleganError: if it cannot be written, such as on a full disk. Older checkpoints are then untouched.
    """
    target = folder / f"step-{step:08d}"
    temporary = folder / f".{target.name}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        state.write(os.fspath(temporary / "state"))
        for path in temporary.iterdir():
            _flush(path)
        # A run that is continued and stopped at once saves the same state at the same step again.
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
        _flush(folder)
    except (OSError, tf.errors.OpError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CycleganError(f"Cannot write a checkpoint to {folder}: {first_line(error)}") from error
    for _, path in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(path, ignore_errors=True)
    return target


def restore_checkpoint(state: tf.train.Checkpoint, folder: pathlib.Path, warn: Callable[[str], None]) -> int | None:
    """Restores every value of the newest intact checkpoint.

    Args:
        state: everything that was saved, built completely, including the slots of the optimizers.
        folder: the `checkpoints` folder of a run.
        warn: called with a line for every damaged checkpoint that is passed over.

    Returns:
        The step of the checkpoint, or None if there is no checkpoint yet.

    Raises:
        CycleganError: if there are checkpoints, but none of them can be restored. The run must not start over silently.
    """
    checkpoints = list_checkpoints(folder)
    if not checkpoints:
        return None
    for step, path in reversed(checkpoints):
        try:
            status = state.read(os.fspath(path / "state"))
            status.assert_existing_objects_matched()
            status.assert_consumed()
            return step
        except (tf.errors.OpError, OSError, AssertionError, ValueError, IndexError) as error:
            warn(f"Checkpoint {path} cannot be restored and is passed over: {first_line(error)}")
    raise CycleganError(
        f"None of the {len(checkpoints)} checkpoints in {folder} can be restored."
        " Put back an intact one, or start a new run in another directory."
    )


def _flush(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
