"""Many images from file to file: batches, threads and order.

A batch consists of images of one size. One thread takes it from file to file. There are several threads, so that other
batches are decoded and encoded while the network works on one.
"""

import collections
import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from cyclegan.bundles.bundle import Bundle
from cyclegan.translation.naming import Job
from cyclegan.translation.settings import Outcome, Settings
from cyclegan.translation.worker import SizedImage, Worker

READ_AHEAD = 64
"""The number of images whose sizes are known before their pixels are read. Images of one size become a batch."""

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
    """Translates images, and yields the outcome of each as soon as it is known.

    When the iterator is closed, as by an exception in the caller, the work ends after the files that are being written.

    Args:
        bundle: the trained model.
        jobs: images and their files. Files that exist are kept, unless `settings.overwrite` is on.
        settings: how to translate.
        devices: the devices that share the images, by their TensorFlow names.
        cycle: whether the translations are translated back, for which the bundle must contain both directions.
        late: receives the outcomes of the images that were being worked on when the iterator was closed.

    Raises:
        UsageError: if the bundle lacks a direction, or a setting is not allowed.
        CycleganError: if the weights of the bundle are missing or damaged.
    """
    late = [] if late is None else late
    worker = Worker(bundle, settings, devices, cycle)
    num_threads = len(devices) + max(2, os.cpu_count() or 1)
    with ThreadPoolExecutor(num_threads) as threads, ThreadPoolExecutor(2) as readers:
        try:
            looked_at = ahead(readers, worker.look, jobs, READ_AHEAD)
            batches = _group(looked_at, worker.batch_size)
            with contextlib.closing(_work(batches, worker, threads, num_threads, late)) as finished:
                for outcomes in finished:
                    late += outcomes
                    while late:
                        yield late.pop(0)
        finally:
            worker.stopping.set()


def ahead(
    threads: ThreadPoolExecutor, function: Callable[[_Item], _Result], items: Iterable[_Item], limit: int
) -> Iterator[_Result]:
    """Works like `map` in threads, and computes at most `limit` results before they are taken."""
    running: collections.deque[Future[_Result]] = collections.deque()
    for item in items:
        running.append(threads.submit(function, item))
        if len(running) >= limit:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _group(
    looked_at: Iterable[SizedImage | Outcome], batch_size: Callable[[tuple[int, int]], int]
) -> Iterator[list[SizedImage] | Outcome]:
    """Groups images of one size into batches. Images that have failed already are passed on."""
    waiting: dict[tuple[int, int], list[SizedImage]] = collections.defaultdict(list)
    for looked in looked_at:
        if isinstance(looked, Outcome):
            yield looked
            continue
        waiting[looked.size].append(looked)
        if len(waiting[looked.size]) >= batch_size(looked.size):
            yield waiting.pop(looked.size)
        elif sum(map(len, waiting.values())) >= READ_AHEAD:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def _work(
    batches: Iterable[list[SizedImage] | Outcome],
    worker: Worker,
    threads: ThreadPoolExecutor,
    num_threads: int,
    late: list[Outcome],
) -> Generator[list[Outcome]]:
    """Gives each batch to a thread, and yields the outcomes in the order of the batches; `late` as in `run_jobs`."""
    running: collections.deque[Future[list[Outcome]]] = collections.deque()
    try:
        for batch in batches:
            if isinstance(batch, Outcome):
                yield [batch]
                continue
            running.append(threads.submit(worker.work, batch))
            while running and (running[0].done() or len(running) > num_threads):
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        worker.stopping.set()
        for future in running:
            if not future.cancel() and not future.exception():
                late += future.result()
