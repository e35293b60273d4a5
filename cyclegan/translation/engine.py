"""Images from file to file: decoding, translating and encoding at the same time, in bounded memory.

A batch of images of one size is taken from file to file by one thread. There are several, so that while the network
works on one batch, the next is decoded and the one before encoded; the network itself is used by one at a time.
"""

import collections
import contextlib
import dataclasses
import errno
import math
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from cyclegan.bundle import Bundle, Direction
from cyclegan.data.decoding import read_image_and_alpha
from cyclegan.data.encoding import LARGEST_SIDE, encode
from cyclegan.data.headers import BadImage, Header, read_header
from cyclegan.runtime.atomic_files import write_atomically
from cyclegan.runtime.memory import free_bytes
from cyclegan.translation.naming import FORMAT_OF, Job
from cyclegan.translation.translator import Layout, Size, Translator

READ_AHEAD = 64
"""Images whose sizes are known before they are read; those of one size among them become a batch."""

LARGE_PIXELS = 4_000_000
"""Batches with more are taken from file to file one at a time, or each thread would hold one."""

GALLERY_QUALITY = 90

# Errors that come from one name, so that the next image may well be written. All others stop the work.
_ERRORS_OF_ONE_NAME = {errno.ENAMETOOLONG, errno.EISDIR, errno.EEXIST, errno.ENOTDIR, errno.EILSEQ}

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How images are translated.

    Attributes:
        direction: "ab" for A to B, "ba" for B to A.
        size: see `Translator`.
        tile: see `Translator`.
        memory_limit: bytes for all devices together; None: half of what is free.
        max_pixels: images with more are refused before they are decoded; None: as in the bundle.
        quality: of JPEG and WebP.
        batch_size: the largest number of images that are translated at once.
        overwrite: whether files that are there are written again.
    """

    direction: Direction
    size: Size = "auto"
    tile: int | None = None
    memory_limit: float | None = None
    max_pixels: int | None = None
    quality: int = 95
    batch_size: int = 4
    overwrite: bool = False


class Outcome(NamedTuple):
    """What became of one image.

    Attributes:
        job: the image.
        reason: why it failed, one line without the path; None: it is translated.
        notes: what the user should know of it.
        stops: whether nothing more can be written, as on a full disk.
    """

    job: Job
    reason: str | None
    notes: tuple[str, ...]
    stops: bool


class _Image(NamedTuple):
    job: Job
    header: Header
    layout: Layout

    @property
    def size(self) -> tuple[int, int]:
        return self.header.height, self.header.width


class _Stopped(Exception):
    """The work is to end."""


def run_jobs(
    bundle: Bundle,
    jobs: Iterable[Job],
    settings: Settings,
    devices: list[str],
    *,
    cycle: bool,
    late: list[Outcome] | None = None,
) -> Generator[Outcome]:
    """Translates images, and yields what became of each, as soon as it is known.

    Closing the iterator, as an exception in the caller does, ends the work after the files that are being written.

    Args:
        bundle: the trained model.
        jobs: images and their files. Files that are there stay, unless `settings.overwrite` is on.
        settings: how to translate.
        devices: TensorFlow's names of them. All share the images.
        cycle: whether the way back is wanted, for which the bundle must hold the other direction.
        late: gets what became of the images that were being worked on when the iterator was closed.

    Raises:
        UsageError: if the bundle lacks a direction, or a setting is not allowed.
        CycleganError: if its weights are missing or damaged.
    """
    worker = _Worker(bundle, settings, devices, cycle)
    num_threads = len(devices) + max(2, os.cpu_count() or 1)
    with ThreadPoolExecutor(num_threads) as threads, ThreadPoolExecutor(2) as readers:
        try:
            late = [] if late is None else late
            looked_at = _ahead(readers, worker.look, jobs, READ_AHEAD)
            with contextlib.closing(_batches(looked_at, worker, threads, num_threads, late)) as batches:
                for outcomes in batches:
                    late += outcomes
                    while late:
                        yield late.pop(0)
        finally:
            worker.stopping.set()


def _batches(
    looked_at: Iterable["_Image | Outcome"],
    worker: "_Worker",
    threads: ThreadPoolExecutor,
    num_threads: int,
    late: list[Outcome],
) -> Generator[list[Outcome]]:
    """Collects images of one size, hands them to the threads, and yields what comes back; `late` as in `run_jobs`."""
    waiting: dict[tuple[int, int], list[_Image]] = collections.defaultdict(list)
    running: collections.deque[Future[list[Outcome]]] = collections.deque()
    num_waiting = 0

    def start(size: tuple[int, int]) -> None:
        running.append(threads.submit(worker.work, waiting.pop(size)))

    try:
        for looked in looked_at:
            if isinstance(looked, Outcome):
                yield [looked]
                continue
            waiting[looked.size].append(looked)
            num_waiting += 1
            full = len(waiting[looked.size]) >= worker.batch_size(looked.size)
            if full or num_waiting >= READ_AHEAD:
                size = looked.size if full else next(iter(waiting))
                num_waiting -= len(waiting[size])
                start(size)
            while running and (running[0].done() or len(running) > num_threads):
                yield running.popleft().result()
        for size in list(waiting):
            start(size)
            while running and (running[0].done() or len(running) > num_threads):
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        worker.stopping.set()
        for future in running:
            if not future.cancel() and not future.exception():
                late += future.result()


def _ahead(
    threads: ThreadPoolExecutor, function: Callable[[_Item], _Result], items: Iterable[_Item], limit: int
) -> Iterator[_Result]:
    """`map` with at most `limit` results that wait to be taken."""
    running: collections.deque[Future[_Result]] = collections.deque()
    for item in items:
        running.append(threads.submit(function, item))
        if len(running) >= limit:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


class _Worker:
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

    def look(self, job: Job) -> _Image | Outcome:
        """Reads the size of an image, before anything dearer."""
        file_format = FORMAT_OF[job.output.suffix.lower()]
        try:
            header = read_header(job.source, self._max_pixels)
            largest = LARGEST_SIDE.get(file_format, math.inf)
            if max(header.height, header.width) > largest:
                size = f"{header.width} x {header.height} pixels"
                hint = f"a {file_format} file has at most {largest:,} a side. Choose `--format png`"
                return Outcome(job, f"{size}: {hint}", (), False)
            return _Image(job, header, self._any_translator.layout(header.height, header.width))
        except BadImage as error:
            return Outcome(job, error.reason, (), False)

    def batch_size(self, size: tuple[int, int]) -> int:
        return self._any_translator.batch_size(*size, self._settings.batch_size)

    def work(self, images: list[_Image]) -> list[Outcome]:
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

    def _translate(self, decoded: list[tuple[_Image, np.ndarray, np.ndarray | None]]) -> list[Outcome]:
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
        image: _Image,
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


def _outcome(image: _Image, reason: str | None) -> Outcome:
    notes = []
    header, layout = image.header, image.layout
    if header.has_frames:
        notes.append("only its first frame was taken")
    if layout.tile:
        notes.append(f"translated in strips of {layout.tile} rows, because of its size")
    if (layout.height, layout.width) != (header.height, header.width):
        notes.append(f"translated at {layout.width} x {layout.height} pixels and scaled back")
    return Outcome(image.job, reason, tuple(notes) if reason is None else (), False)
