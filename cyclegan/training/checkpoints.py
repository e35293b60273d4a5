"""Checkpoints: whole or absent, verified on the way back.

A checkpoint is a folder `step-00001000` that appears by one rename. There is no index file beside the folders that
could disagree with them.
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
    """(step, folder) of every complete checkpoint, oldest first."""
    if not folder.is_dir():
        return []
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def save_checkpoint(state: tf.train.Checkpoint, folder: pathlib.Path, step: int, keep: int) -> pathlib.Path:
    """Writes the state, then removes all but the newest checkpoints.

    Args:
        state: everything to save.
        folder: the `checkpoints` folder of a run.
        step: number of completed steps.
        keep: how many checkpoints stay, at least 1.

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
        # The same step twice (a run continued and stopped at once) holds the same state.
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
    """Restores the newest checkpoint that is intact, every value of it and nothing else.

    Args:
        state: built completely, optimizer slots included.
        folder: the `checkpoints` folder of a run.
        warn: called with a line for every damaged checkpoint that is passed over.

    Returns:
        The step restored, or None where there is no checkpoint yet.

    Raises:
        CycleganError: if there are checkpoints but none can be restored. Never starts over in silence.
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
