"""One batch of images from file to file."""

import contextlib
import errno
import math
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cyclegan.bundle import Bundle, Direction
from cyclegan.data.decoding import BadImage, Header, read_header, read_image_and_alpha
from cyclegan.data.encoding import LARGEST_SIDE, encode
from cyclegan.runtime.atomic_files import write_atomically
from cyclegan.runtime.memory import free_bytes
from cyclegan.translation.naming import FORMAT_OF, Job
from cyclegan.translation.settings import Outcome, Settings
from cyclegan.translation.translator import Layout, Translator

LARGE_PIXELS = 4_000_000
"""Batches with more are taken from file to file one at a time, or each thread would hold one."""

GALLERY_QUALITY = 90

# Errors that come from one name, so that the next image may well be written. All others stop the work.
_ERRORS_OF_ONE_NAME = {errno.ENAMETOOLONG, errno.EISDIR, errno.EEXIST, errno.ENOTDIR, errno.EILSEQ}


class SizedImage(NamedTuple):
    """An image whose header has been read."""

    job: Job
    header: Header
    layout: Layout

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.header.height, self.header.width


class _Stopped(Exception):
    """The work is to end."""


class Worker:
    """What the threads share."""

    def __init__(self, bundle: Bundle, settings: Settings, devices: list[str], cycle: bool):
        def translators(direction: Direction) -> list[Translator]:
            return [
                Translator(bundle, direction, size=settings.size, tile=settings.tile, memory_limit=limit, device=device)
                for device in devices
            ]

        limit = (settings.memory_limit or free_bytes() / 2) / len(devices)
        there = translators(settings.direction)
        back = translators("ba" if settings.direction == "ab" else "ab") if cycle else [None] * len(devices)
        self.stopping = threading.Event()
        self._info, self._settings = bundle.info, settings
        self._max_pixels = settings.max_pixels or bundle.info.max_pixels
        self._any_translator = there[0]
        self._free: queue.SimpleQueue[tuple[Translator, Translator | None]] = queue.SimpleQueue()
        for pair in zip(there, back, strict=True):
            self._free.put(pair)
        self._one_large = threading.Lock()

    def look(self, job: Job) -> SizedImage | Outcome:
        """Reads the size of an image, before anything dearer."""
        file_format = FORMAT_OF[job.output.suffix.lower()]
        try:
            header = read_header(job.source, self._max_pixels)
            largest = LARGEST_SIDE.get(file_format, math.inf)
            if max(header.height, header.width) > largest:
                size = f"{header.width} x {header.height} pixels"
                hint = f"a {file_format} file has at most {largest:,} a side. Choose `--format png`"
                return Outcome(job, f"{size}: {hint}", (), False)
            return SizedImage(job, header, self._any_translator.layout(header.height, header.width))
        except BadImage as error:
            return Outcome(job, error.reason, (), False)

    def batch_size(self, size: tuple[int, int]) -> int:
        """The largest number of images of this size that are translated at once."""
        return self._any_translator.batch_size(*size, self._settings.batch_size)

    def work(self, images: list[SizedImage]) -> list[Outcome]:
        """Takes images of one size from file to file."""
        num_pixels = sum(image.header.height * image.header.width for image in images)
        with self._one_large if num_pixels > LARGE_PIXELS else contextlib.nullcontext():
            outcomes: list[Outcome] = []
            decoded = []
            for image in images:
                if self.stopping.is_set():
                    return outcomes
                try:
                    pixels, alpha = self._read(image.job.source)
                    if pixels.shape[:2] != image.size:
                        raise BadImage(None, "it changed while it was read")
                    decoded.append((image, pixels, alpha))
                except BadImage as error:
                    outcomes.append(_outcome(image, error.reason))
            return outcomes + self._translate(decoded) if decoded else outcomes

    def _read(self, source: Path) -> tuple[np.ndarray, np.ndarray | None]:
        return read_image_and_alpha(source, self._any_translator.channels_in, self._info.value_range, self._max_pixels)

    def _translate(self, decoded: list[tuple[SizedImage, np.ndarray, np.ndarray | None]]) -> list[Outcome]:
        """Translates and writes images of one size."""
        try:
            with self._translators() as (there, back):
                translated = there.translate(np.stack([pixels for _, pixels, _ in decoded]), self._check)
                cycled = back.translate(translated, self._check) if back else None
        except _Stopped:
            return []
        except BadImage as error:
            if len(decoded) == 1:
                return [_outcome(decoded[0][0], error.reason)]
            # One by one, to find which it is.
            return [outcome for entry in decoded for outcome in self._translate([entry])]
        return [
            self._write(image, pixels, alpha, translated[index], None if cycled is None else cycled[index])
            for index, (image, pixels, alpha) in enumerate(decoded)
        ]

    def _write(
        self,
        image: SizedImage,
        pixels: np.ndarray,
        alpha: np.ndarray | None,
        translated: np.ndarray,
        cycled: np.ndarray | None,
    ) -> Outcome:
        job = image.job
        files = [(job.output, translated), (job.cycled, cycled), (job.picture, pixels)]
        for path, values in files:
            if path is None or values is None or (os.path.isfile(path) and not self._settings.overwrite):
                continue
            if alpha is not None and values.shape[-1] in (1, 3):
                values = np.concatenate([values, alpha], axis=-1)
            picture = path is job.picture
            if picture:  # every so many pixels of one that is too large for its format
                every = math.ceil(max(values.shape) / LARGEST_SIDE["webp"])
                values = values[::every, ::every]
            data = encode(
                values,
                FORMAT_OF[path.suffix.lower()],
                value_range=None if picture else self._info.value_range,
                quality=GALLERY_QUALITY if picture else self._settings.quality,
            )
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, data)
            except OSError as error:
                reason = f"{path} cannot be written: {error.strerror}"
                return Outcome(job, reason, (), error.errno not in _ERRORS_OF_ONE_NAME)
        return _outcome(image, None)

    @contextlib.contextmanager
    def _translators(self) -> Iterator[tuple[Translator, Translator | None]]:
        """Those of one device, and of no other thread meanwhile."""
        pair = self._free.get()
        try:
            yield pair
        finally:
            self._free.put(pair)

    def _check(self) -> None:
        if self.stopping.is_set():
            raise _Stopped


def _outcome(image: SizedImage, reason: str | None) -> Outcome:
    notes = []
    header, layout = image.header, image.layout
    if header.has_frames:
        notes.append("only its first frame was taken")
    if layout.tile:
        notes.append(f"translated in strips of {layout.tile} rows, because of its size")
    if (layout.height, layout.width) != (header.height, header.width):
        notes.append(f"translated at {layout.width} x {layout.height} pixels and scaled back")
    return Outcome(image.job, reason, tuple(notes) if reason is None else (), False)
