"""Scores as a JSON file."""

import json
import os
import pathlib
from collections.abc import Sequence

import pydantic

from cyclegan.errors import CycleganError, UsageError, first_line
from cyclegan.evaluation.protocol import Scores
from cyclegan.runtime.atomic_files import write_atomically


def refuse_foreign_scores(path: pathlib.Path) -> None:
    """Makes sure that scores may be written to a file, before the work starts.

    Raises:
        UsageError: if its folder does not exist or is not writable, or if the file exists and has no scores.
    """
    folder = path.absolute().parent
    if not folder.is_dir() or path.is_dir():
        raise UsageError(f"`--json` must be a file in a folder that exists. Received: {path}.")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"`--json` must be a file in a folder that can be written to. Received: {path}.")
    if path.exists() and path.stat().st_size:
        try:
            read_scores(path)
        except CycleganError as error:
            raise UsageError(f"{path} exists and is not a file of scores. Choose another `--json`.") from error


def write_scores(path: pathlib.Path, found: Sequence[Scores]) -> None:
    """Writes scores.

    Raises:
        CycleganError: if the file cannot be written.
    """
    content = json.dumps([scores.model_dump(mode="json") for scores in found], indent=2, allow_nan=False)
    try:
        write_atomically(path, content.encode() + b"\n")
    except OSError as error:
        raise CycleganError(f"The scores {path} cannot be written: {error.strerror}.") from error


def read_scores(path: pathlib.Path) -> tuple[Scores, ...]:
    """Reads scores that `write_scores` has written.

    Raises:
        CycleganError: if the file cannot be read, or has something else.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, list):
            raise ValueError("it is not a list")
        return tuple(Scores.model_validate(each) for each in content)
    except pydantic.ValidationError as error:
        (problem, *_) = error.errors()
        place = ".".join(map(str, problem["loc"]))
        raise CycleganError(f"{path} cannot be read: {place}: {problem['msg']}.") from error
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise CycleganError(f"{path} cannot be read: {reason}.") from error
