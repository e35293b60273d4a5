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
import tensorflow as tf

from cyclegan.bundles.info import BundleInfo
from cyclegan.data.decoding import read_image_and_alpha
from cyclegan.data.encoding import LARGEST_SIDE, encode, levels_of
from cyclegan.data.headers import BadImage, ReadFailure, read_header
from cyclegan.errors import first_line
from cyclegan.runtime.atomic_files import write_atomically
from cyclegan.translation.contact_sheet import Planes
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

    def make(job: Job) -> Entry | ReadFailure:
        try:
            return _entry(job, info, settings, one_large)
        except ReadFailure as error:
            return error

    entries = []
    num_threads = max(2, os.cpu_count() or 1)
    with ThreadPoolExecutor(num_threads) as threads:
        for made in ahead(threads, make, jobs, 2 * num_threads):
            if isinstance(made, ReadFailure):
                say(f"{made}. This image is not shown.")
            else:
                entries.append(made)
    return entries


def read_translation(path: Path, info: BundleInfo) -> Planes:
    """Reads a file that `encode` has written with the value range of a bundle.

    Returns:
        The colours and the alpha of the image, see `read_image_and_alpha`.

    Raises:
        BadImage: if the file cannot be read.
    """
    low, high, largest = levels_of(info.value_range, FORMAT_OF[path.suffix.lower()])
    if largest == 255:
        return read_image_and_alpha(path, 3, (low, high), sys.maxsize)
    try:  # Pillow reduces colours of 16 bits to 8, which would leave 16 shades of 12 bits
        pixels = tf.io.decode_png(path.read_bytes(), dtype=tf.uint16).numpy().astype(np.float32)
    except (OSError, tf.errors.InvalidArgumentError) as error:
        raise BadImage(path, f"it cannot be read: {first_line(error)}") from error
    num_colours = 1 if pixels.shape[-1] <= 2 else 3
    colours = ((pixels[..., :num_colours] - low) / (high - low)).clip(0, 1) * 2 - 1
    alpha = pixels[..., num_colours:] / largest * 2 - 1
    return colours.repeat(3 // num_colours, axis=-1), alpha if alpha.size else None


def _entry(job: Job, info: BundleInfo, settings: Settings, one_large: threading.Lock) -> Entry:
    channels, _ = info.channels(settings.direction)
    limits = info.value_range, settings.max_pixels or info.max_pixels
    header = read_header(job.output, sys.maxsize)
    picture = functools.partial(_write_picture, again=settings.overwrite)
    with one_large if header.height * header.width > LARGE_PIXELS else contextlib.nullcontext():
        assert job.picture
        shown = picture(job.picture, job.source, lambda: read_image_and_alpha(job.source, channels, *limits))
        output, *cycled = (
            path if _is_shown_right(path, info) else picture(job.picture_of(path), path, read)
            for path in job.translations
            for read in [functools.partial(read_translation, path, info)]
        )
    return Entry(job.name, shown, output, cycled[0] if cycled else None)


def _is_shown_right(path: Path, info: BundleInfo) -> bool:
    """Whether a translation goes from black to white in a program that knows only the type of its values."""
    low, high, largest = levels_of(info.value_range, FORMAT_OF[path.suffix.lower()])
    return (low, high) == (0, largest)


def _write_picture(target: Path, source: Path, read: Callable[[], Planes], *, again: bool) -> Path:
    """Writes a picture of a file with 8 bits, with only every n-th pixel if it is too large for WebP."""
    if not again and _is_current(target, source):
        return target
    colours, alpha = read()
    values = colours if alpha is None else np.concatenate([colours, alpha], axis=-1)
    every = math.ceil(max(values.shape) / LARGEST_SIDE["webp"])
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, encode(values[::every, ::every], "webp", quality=QUALITY))
    return target


def _is_current(target: Path, source: Path) -> bool:
    try:
        read_header(target, sys.maxsize)
        return os.stat(target).st_mtime_ns >= os.stat(source).st_mtime_ns
    except (ReadFailure, OSError):  # it does not exist, or has been damaged
        return False
