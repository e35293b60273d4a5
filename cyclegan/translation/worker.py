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

from cyclegan.bundles.bundle import Bundle
from cyclegan.bundles.info import Direction
from cyclegan.data.decoding import read_image_and_alpha
from cyclegan.data.encoding import LARGEST_SIDE, encode
from cyclegan.data.headers import BadImage, Header, ReadFailure, read_header
from cyclegan.runtime.atomic_files import write_atomically
from cyclegan.runtime.memory import free_bytes
from cyclegan.translation.layout import Layout
from cyclegan.translation.naming import FORMAT_OF, Job
from cyclegan.translation.settings import Note, Outcome, Settings
from cyclegan.translation.translator import Translator

LARGE_PIXELS = 4_000_000
"""Only one batch with more pixels than this is worked on at a time. Otherwise each thread would hold one in memory."""

# These errors come from the name of one file, so another image may still be written. All other errors stop the work.
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


class _Pixels(NamedTuple):
    """An image that has been decoded."""

    image: SizedImage
    colours: np.ndarray
    alpha: np.ndarray | None


class _Stopped(Exception):
    """Raised in a thread to end its work."""


class Worker:
    """Takes batches from file to file. All threads use the same worker.

    Args:
        bundle: see `run_jobs`.
        settings: see `run_jobs`.
        devices: see `run_jobs`.
        cycle: see `run_jobs`.

    Attributes:
        stopping: set it to end the work after the files that are being written.
    """

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
        """Reads the size of an image before any work that takes longer."""
        file_format = FORMAT_OF[job.output.suffix.lower()]
        try:
            header = read_header(job.source, self._max_pixels)
            largest = LARGEST_SIDE.get(file_format, math.inf)
            if max(header.height, header.width) > largest:
                size = f"{header.width} x {header.height} pixels"
                hint = f"a side of a {file_format} file has at most {largest:,}. Choose `--format png`"
                return Outcome(job, f"{size}: {hint}")
            return SizedImage(job, header, self._any_translator.layouts.choose(header.height, header.width))
        except ReadFailure as error:
            return Outcome(job, error.reason)

    def batch_size(self, size: tuple[int, int]) -> int:
        """The number of images of this size that may be translated at once."""
        return self._any_translator.layouts.batch_size(*size, self._settings.batch_size)

    def work(self, images: list[SizedImage]) -> list[Outcome]:
        """Takes images of one size from file to file."""
        num_pixels = sum(image.header.height * image.header.width for image in images)
        with self._one_large if num_pixels > LARGE_PIXELS else contextlib.nullcontext():
            failed: list[Outcome] = []
            decoded: list[_Pixels] = []
            for image in images:
                if self.stopping.is_set():
                    return failed
                try:
                    decoded.append(self._read(image))
                except ReadFailure as error:
                    failed.append(Outcome(image.job, error.reason))
                except MemoryError:
                    failed.append(Outcome(image.job, "reading it needs more memory than is available"))
            return failed + self._translate(decoded) if decoded else failed

    def _read(self, image: SizedImage) -> _Pixels:
        channels, value_range = self._any_translator.channels_in, self._info.value_range
        colours, alpha = read_image_and_alpha(image.job.source, channels, value_range, self._max_pixels)
        if colours.shape[:2] != image.size:
            raise BadImage(None, "it changed while it was read")
        return _Pixels(image, colours, alpha)

    def _translate(self, decoded: list[_Pixels]) -> list[Outcome]:
        """Translates and writes images of one size."""
        try:
            with self._translators() as (there, back):
                translated = there.translate(np.stack([pixels.colours for pixels in decoded]), self._check)
                cycled = back.translate(translated, self._check) if back else [None] * len(decoded)
        except _Stopped:
            return []
        except BadImage as error:
            if len(decoded) == 1:
                return [Outcome(decoded[0].image.job, error.reason)]
            # One by one, to find the image that failed.
            return [outcome for pixels in decoded for outcome in self._translate([pixels])]
        return [self._write(*entry) for entry in zip(decoded, translated, cycled, strict=True)]

    @contextlib.contextmanager
    def _translators(self) -> Iterator[tuple[Translator, Translator | None]]:
        """The translators of one device, which no other thread uses at the same time."""
        pair = self._free.get()
        try:
            yield pair
        finally:
            self._free.put(pair)

    def _check(self) -> None:
        if self.stopping.is_set():
            raise _Stopped

    def _write(self, pixels: _Pixels, translated: np.ndarray, cycled: np.ndarray | None) -> Outcome:
        job = pixels.image.job
        for path, values in ((job.output, translated), (job.cycled, cycled)):
            if path is None or values is None or (os.path.isfile(path) and not self._settings.overwrite):
                continue
            if pixels.alpha is not None and values.shape[-1] in (1, 3):
                values = np.concatenate([values, pixels.alpha], axis=-1)
            data = self._encode(path, values)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, data)
            except OSError as error:
                reason = f"{path} cannot be written: {error.strerror}"
                return Outcome(job, reason, stops=error.errno not in _ERRORS_OF_ONE_NAME)
        return Outcome(job, None, _notes(pixels.image))

    def _encode(self, path: Path, values: np.ndarray) -> bytes:
        file_format = FORMAT_OF[path.suffix.lower()]
        return encode(values, file_format, value_range=self._info.value_range, quality=self._settings.quality)


def _notes(image: SizedImage) -> tuple[Note, ...]:
    header, layout = image.header, image.layout
    notes = []
    if header.has_frames:
        notes.append(Note("first frame", "only its first frame was translated"))
    if layout.tile:
        rows = f"{layout.tile} row{'' if layout.tile == 1 else 's'}"
        notes.append(Note("strips", f"it was translated in strips of {rows} to limit the memory it needs"))
    if (layout.height, layout.width) != (header.height, header.width):
        text = f"it was translated at {layout.width} x {layout.height} pixels and scaled back"
        notes.append(Note("scaled", text))
    return tuple(notes)
