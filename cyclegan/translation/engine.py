"""Images from file to file: decoding, translating and encoding at the same time, in bounded memory.

A batch of images of one size is taken from file to file by one thread. There are several, so that while the network
works on one batch, the next is decoded and the one before encoded; the network itself is used by one at a time.
"""

import collections
import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from cyclegan.bundle import Bundle
from cyclegan.translation.naming import Job
from cyclegan.translation.settings import Outcome, Settings
from cyclegan.translation.worker import SizedImage, Worker

READ_AHEAD = 64
"""Images whose sizes are known before they are read; those of one size among them become a batch."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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
    worker = Worker(bundle, settings, devices, cycle)
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
    looked_at: Iterable[SizedImage | Outcome],
    worker: Worker,
    threads: ThreadPoolExecutor,
    num_threads: int,
    late: list[Outcome],
) -> Generator[list[Outcome]]:
    """Collects images of one size, hands them to the threads, and yields what comes back; `late` as in `run_jobs`."""
    waiting: dict[tuple[int, int], list[SizedImage]] = collections.defaultdict(list)
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
