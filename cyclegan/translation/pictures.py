"""Pictures that a browser shows, made from images and translations on disk. No network runs for them."""

import contextlib
import functools
import math
import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cyclegan.bundle import BundleInfo
from cyclegan.data.decoding import ValueRange, read_image_and_alpha
from cyclegan.data.encoding import LARGEST_SIDE, encode, levels_of
from cyclegan.data.headers import BadImage, read_header
from cyclegan.runtime.atomic_files import write_atomically
from cyclegan.translation.engine import ahead
from cyclegan.translation.gallery import Entry
from cyclegan.translation.naming import FORMAT_OF, Job
from cyclegan.translation.settings import Settings
from cyclegan.translation.worker import LARGE_PIXELS

QUALITY = 90


def make_entries(jobs: Iterable[Job], info: BundleInfo, settings: Settings, say: Callable[[str], None]) -> list[Entry]:
    """Makes the pictures of a gallery, and keeps those that are newer than what they show.

    The input is shown by a picture in WebP with 8 bits, on which the value range of the model goes from black to white.
    So are translations that do not use the whole range of their type: browsers would show 12 bits of 16 as black.

    Args:
        jobs: images whose translations exist, with `picture`.
        info: what the bundle says of the model.
        settings: how the images were translated. With `overwrite`, pictures that exist are made again.
        say: receives one line for each input that cannot be read. It is left out.

    Raises:
        OSError: if a picture cannot be written.
    """
    one_large = threading.Lock()  # otherwise each thread would hold one in memory

    def make(job: Job) -> Entry | BadImage:
        try:
            return _entry(job, info, settings, one_large)
        except BadImage as error:
            return error

    entries = []
    num_threads = max(2, os.cpu_count() or 1)
    with ThreadPoolExecutor(num_threads) as threads:
        for made in ahead(threads, make, jobs, 2 * num_threads):
            if isinstance(made, BadImage):
                say(f"{made}. This image is not shown.")
            else:
                entries.append(made)
    return entries


def levels_of_file(path: Path, info: BundleInfo) -> ValueRange | None:
    """The values for black and white in a translation; None: the smallest and the largest value of its type."""
    low, high, largest = levels_of(info.value_range, FORMAT_OF[path.suffix.lower()])
    return None if (low, high) == (0, largest) else (low, high)


def _entry(job: Job, info: BundleInfo, settings: Settings, one_large: threading.Lock) -> Entry:
    channels_in, channels_out = info.channels(settings.direction)
    header = read_header(job.output, sys.maxsize)
    max_pixels = settings.max_pixels or info.max_pixels
    picture = functools.partial(_write_picture, again=settings.overwrite)
    with one_large if header.height * header.width > LARGE_PIXELS else contextlib.nullcontext():
        assert job.picture
        shown = picture(job.picture, job.source, channels_in, info.value_range, max_pixels)
        translations: list[Path | None] = []
        for path, channels in ((job.output, channels_out), (job.cycled, channels_in)):
            levels = path and levels_of_file(path, info)
            if path and levels:
                path = picture(job.picture_of(path), path, channels, levels, sys.maxsize)
            translations.append(path)
    output, cycled = translations
    assert output
    return Entry(job.name, shown, output, cycled)


def _write_picture(
    target: Path, source: Path, channels: int, value_range: ValueRange | None, max_pixels: int, *, again: bool
) -> Path:
    """Writes a picture of a file with 8 bits, with only every n-th pixel if it is too large for WebP."""
    if not again and _is_current(target, source):
        return target
    colours, alpha = read_image_and_alpha(source, channels, value_range, max_pixels)
    values = colours if alpha is None else np.concatenate([colours, alpha], axis=-1)
    every = math.ceil(max(values.shape) / LARGEST_SIDE["webp"])
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, encode(values[::every, ::every], "webp", quality=QUALITY))
    return target


def _is_current(target: Path, source: Path) -> bool:
    try:
        read_header(target, sys.maxsize)
        return os.stat(target).st_mtime_ns >= os.stat(source).st_mtime_ns
    except (BadImage, OSError):  # it does not exist, or has been damaged
        return False
