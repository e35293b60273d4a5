"""The images of a folder."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from cyclegan.errors import CycleganError, UsageError

SPLITS = ("trainA", "trainB", "testA", "testB")
"""The folders of a data set: train or test, then the letter of the domain."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})


def list_images(folder: Path, cannot_list: Callable[[OSError], object] | None = None) -> list[Path]:
    """The paths of all image files in a folder, as `list_names` lists them. They start with `folder`."""
    return [folder / name for name in list_names(folder, cannot_list)]


def list_names(folder: Path, cannot_list: Callable[[OSError], object] | None = None) -> list[str]:
    """All image files in a folder and in the folders below it, recognised by their suffixes.

    Hidden files and folders are passed over. Links to folders are followed, but each folder is visited only once.

    Args:
        folder: the folder to search.
        cannot_list: called with the error of each folder that cannot be listed, which is then passed over.

    Returns:
        The sorted names, relative to `folder`, with slashes.

    Raises:
        UsageError: if `folder` is not a folder.
        CycleganError: if a folder cannot be listed and `cannot_list` is None.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder.")
    listed: list[str] = []
    visited: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=cannot_list or _cannot_list):
        real_parent = os.path.realpath(parent)
        if real_parent in visited:  # a link leads back to it
            folders.clear()
            continue
        visited.add(real_parent)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(parent).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        # Plain strings: a folder may hold a million files.
        listed += [prefix + name for name in names if not name.startswith(".") and _suffix(name) in SUFFIXES]
    return sorted(listed)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _cannot_list(error: OSError) -> NoReturn:
    raise CycleganError(f"{error.filename}: cannot be listed: {error.strerror}.") from error
