"""A cache on disk of images that were decoded and resized.

Each image has a file of its own. So an image is added without touching the others, a damaged file costs one image, and
several runs can share the cache. The operating system keeps the files in memory as far as memory is free, so there is
no second cache in memory whose bound would have to be guessed.
"""

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL

from cyclegan.data.decoding import Pixels
from cyclegan.runtime.array_files import read_arrays, write_arrays
from cyclegan.runtime.atomic_files import AN_HOUR, remove_litter

_FORMAT = f"1 {PIL.__version__}"
"""Raise the number when decoding or resizing changes any pixel. Pillow's version is there for the same reason."""

_COUNT_AGAIN = 0.05
"""The folder is counted again after this part of its bound has been added, because other runs may add to it too."""


class ImageCache:
    """Images in a folder, up to a number of bytes.

    Args:
        folder: the folder. It is created with the first image.
        max_bytes: the folder holds at most this much; nothing is deleted to make room. Each run that fills the folder
            at the same time can add a twentieth of it too much.
        report: called with one line when the cache takes no more images.
    """

    def __init__(self, folder: Path, max_bytes: int, report: Callable[[str], None]):
        self._folder = folder
        self._max_bytes = max_bytes
        self._report = report
        self._used = 0  # bytes, as the last count found them, and what was added since
        self._uncounted: float = max_bytes  # bytes added since the last count
        self._takes_more = True
        self._lock = threading.Lock()

    def read(self, key: str) -> Pixels | None:
        """The image that was written with this key; None if it is not there or is damaged."""
        arrays = read_arrays(self._path(key))
        if arrays is None or not {"values", "bits"} <= arrays.keys():
            return None
        return Pixels(arrays["values"], int(arrays["bits"]))

    def write(self, key: str, pixels: Pixels) -> None:
        """Keeps an image. If that fails, a line says so, and the cache takes no more images."""
        if not self._takes_more:
            return
        with self._lock:  # the bytes in use are counted by one thread after the other
            if not self._takes_more:
                return
            try:
                self._add(self._path(key), pixels)
            except OSError as error:
                self._stop(f"The cache of images in {self._folder} takes no more images: {error.strerror or error}.")

    def _add(self, path: Path, pixels: Pixels) -> None:
        if self._uncounted >= _COUNT_AGAIN * self._max_bytes:
            self._folder.mkdir(parents=True, exist_ok=True)
            remove_litter(self._folder, AN_HOUR)
            self._used, self._uncounted = sum(map(_size, self._folder.iterdir())), 0
        if self._used + pixels.values.nbytes > self._max_bytes:
            self._stop(
                f"The cache of images in {self._folder} is full, so other images are decoded again in each epoch."
                " Delete the folder if it holds images of old data sets, or raise `data.cache_gib`."
            )
            return
        num_bytes = write_arrays(path, values=pixels.values, bits=np.array(pixels.bits))
        self._used += num_bytes
        self._uncounted += num_bytes

    def _stop(self, line: str) -> None:
        self._takes_more = False
        self._report(line)

    def _path(self, key: str) -> Path:
        digest = hashlib.blake2b(os.fsencode(f"{_FORMAT}\0{key}"), digest_size=16)
        return self._folder / f"{digest.hexdigest()}.npz"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it was another run's temporary file
        return 0
