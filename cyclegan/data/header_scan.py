"""Finds image files with bad headers, and remembers the good ones, so that the next start need not open them.

A manifest is a sorted array with a digest of 64 bits for each good file: of its path, its size, its time of change and
the limit that was checked. So it takes 8 bytes for each file, and a file that has changed in any of these is not in it.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL

from cyclegan.data.headers import BadImage, read_header
from cyclegan.runtime.array_files import read_arrays, write_arrays

_FORMAT = f"1 {PIL.__version__}"
"""Raise the number when the check of a header changes. Pillow's version is there for the same reason."""

_CHUNK = 1000
"""A thread checks this many files at a time, because a task for each of a million files would take 2 GB."""


def find_bad_headers(paths: Sequence[Path], max_pixels: int, manifest: Path | None = None) -> dict[Path, BadImage]:
    """What is wrong with the files whose headers show that they cannot be used, in the order of `paths`.

    Args:
        paths: the files to check.
        max_pixels: an image is bad if its width times its height is larger than this.
        manifest: the file that remembers which files were good. It is ignored if it is damaged or cannot be written.
            None remembers nothing.
    """
    known = _read_manifest(manifest) if manifest else np.zeros(0, np.uint64)
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    bad: dict[Path, BadImage] = {}
    good = [np.zeros(0, np.uint64)]
    with ThreadPoolExecutor() as threads:
        for bad_of_chunk, good_of_chunk in threads.map(lambda chunk: _check(chunk, max_pixels, known), chunks):
            bad |= bad_of_chunk
            good.append(good_of_chunk)
    if manifest:
        _write_manifest(manifest, known, np.unique(np.concatenate(good)))
    return bad


def _check(paths: Sequence[Path], max_pixels: int, known: np.ndarray) -> tuple[dict[Path, BadImage], np.ndarray]:
    """The problems of the bad files, and the digests of the good ones."""
    folder = os.getcwd()  # for paths that are relative
    digests = np.array([_digest(os.path.join(folder, path), max_pixels) for path in paths], np.uint64)
    places = known.searchsorted(digests)
    is_good = np.zeros(len(digests), bool)
    is_inside = places < len(known)
    is_good[is_inside] = known[places[is_inside]] == digests[is_inside]
    bad: dict[Path, BadImage] = {}
    for index in np.flatnonzero(~is_good).tolist():
        try:
            read_header(paths[index], max_pixels)
            is_good[index] = True
        except BadImage as error:
            bad[paths[index]] = error
    return bad, digests[is_good]


def _digest(path: str, max_pixels: int) -> int:
    """The entry of a file in the manifest; a file that cannot be found gets one that is never good."""
    try:
        status = os.stat(path)
    except OSError:
        return 0
    text = f"{_FORMAT}\0{path}\0{status.st_size}\0{status.st_mtime_ns}\0{max_pixels}"
    return int.from_bytes(hashlib.blake2b(os.fsencode(text), digest_size=8).digest(), "little")


def _read_manifest(path: Path) -> np.ndarray:
    arrays = read_arrays(path) or {}
    good = arrays.get("good")
    return good if good is not None and good.dtype == np.uint64 and good.ndim == 1 else np.zeros(0, np.uint64)


def _write_manifest(path: Path, known: np.ndarray, good: np.ndarray) -> None:
    if np.array_equal(known, good):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, good=good)
    except OSError:
        pass  # the next start takes as long as this one
