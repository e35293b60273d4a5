"""A folder of images in, a folder of translated images out, with a report of what became of each image."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Literal

from cyclegan.bundles.bundle import Bundle
from cyclegan.bundles.info import BundleInfo
from cyclegan.data.decoding import read_image_and_alpha
from cyclegan.data.encoding import FileFormat
from cyclegan.data.headers import ReadFailure, read_header
from cyclegan.errors import CycleganError, UsageError
from cyclegan.translation.contact_sheet import Planes, contact_sheet, is_contact_sheet, write_contact_sheet
from cyclegan.translation.engine import run_jobs
from cyclegan.translation.gallery import Entry, refuse_foreign_pages, write_gallery
from cyclegan.translation.naming import FORMAT_OF, Job, Naming, name_files, refuse_sources
from cyclegan.translation.pictures import make_entries, read_translation
from cyclegan.translation.report import (
    REPORT_FILE,
    Report,
    describe_other_makers,
    new_report,
    refuse_foreign_report,
    write_report,
)
from cyclegan.translation.settings import Outcome, Settings

Engine = Literal["local", "ray"]

LISTED = f" Other images may have the same note; {REPORT_FILE} lists them."
"""What follows the first note of a kind, where the translations have a report."""

Progress = Callable[[int, int, int, float], None]
"""Called with the numbers of images that were translated, that failed, and of all, and with images per second."""


def translate_images(
    bundle: Bundle,
    inputs: Sequence[Path],
    output: Path,
    settings: Settings,
    *,
    file_format: FileFormat | Literal["same"] | None = None,
    cycle: bool = False,
    gallery: bool = False,
    grid: Path | None = None,
    devices: Sequence[str] = ("/cpu:0",),
    engine: Engine = "local",
    strict: bool = False,
    say: Callable[[str], None],
    progress: Progress = lambda translated, failed, total, speed: None,
) -> Report:
    """Translates images, folders of images and patterns. Each translation has the size of its image.

    A file appears only when it is complete, so the same call continues a call that was interrupted. If the output is a
    folder, `report.json` is written into it, even if the work ends with an error or an interruption.

    Args:
        bundle: the trained model.
        inputs: see `name_files`.
        output: see `name_files`.
        settings: how to translate.
        file_format: see `name_files`.
        cycle: also translate each translation back, to `horse.cycled.png`.
        gallery: also write `index.html`, a page that shows all images.
        grid: also write a contact sheet, to this file.
        devices: the devices that share the images, by their TensorFlow names.
        engine: "local" works in this process, "ray" on a Ray cluster, or with Ray on this machine if there is none.
        strict: stop at the first image that fails, or before the first one if a folder cannot be listed.
        say: receives one line for each image that fails, and one for the first note of each kind.
        progress: called after each image. Skipped images are not counted.

    Raises:
        UsageError: if there are no images, the bundle lacks a direction, or an output would be inside the input.
        CycleganError: if no more files can be written, for example because the disk is full, or if an image fails and
            `strict` is on. The translations that exist are kept.
    """
    if grid and grid.suffix.lower() not in FORMAT_OF:
        raise UsageError(f"`--grid` must end in {' '.join(FORMAT_OF)}. Received: {grid}.")
    naming = name_files(inputs, output, file_format=file_format, cycle=cycle, gallery=gallery)
    _refuse_to_replace(naming, output, settings, gallery, grid)
    todo = [job for job in naming.jobs if settings.overwrite or not _is_done(job)]
    report = new_report(naming, todo)
    if note := describe_other_makers(naming, report.skipped, bundle, settings):
        say(note)
    failures = [f"{entry['path']}: {entry['reason']}" for entry in report.failed]
    for failure in failures:
        say(failure)
    if strict and failures:
        write_report(report, naming, bundle, settings)
        raise CycleganError(f"{failures[0]}. No image was translated.")

    record = _recorder(report, say, naming.folder is not None)
    late: list[Outcome] = []

    def finish() -> None:
        _record_rest(report, todo, late, settings, record)
        with contextlib.suppress(CycleganError):  # the error that ended the work is more important
            write_report(report, naming, bundle, settings)

    try:
        with contextlib.closing(_run(engine, bundle, todo, settings, list(devices), cycle, strict, late)) as outcomes:
            stopped = _follow(outcomes, report, record, progress, len(todo), strict)
    except UsageError:
        raise
    except BaseException:
        finish()
        raise
    if stopped:
        finish()
        what = stopped.reason if stopped.stops else f"{stopped.job.name}: {stopped.reason}"
        raise CycleganError(f"{what}. Translated and kept: {len(report.translated)}.")
    write_report(report, naming, bundle, settings)

    if gallery or grid:
        whole = [job for job in naming.jobs if _is_done(job) and _is_whole(job, say)]
        if gallery:
            _write_gallery(output, whole, bundle.info, settings, say)
        if grid:
            _write_grid(grid, whole, bundle.info)
    return report


def _refuse_to_replace(naming: Naming, output: Path, settings: Settings, gallery: bool, grid: Path | None) -> None:
    """Makes sure, before the work starts, that no file is replaced that was not written by cyclegan."""
    if naming.folder:
        refuse_foreign_report(naming.folder)
    if grid:
        refuse_sources(naming.jobs, [grid])
        if os.path.exists(grid) and not settings.overwrite and not is_contact_sheet(grid):
            raise UsageError(
                f"{grid} exists and is not a contact sheet of cyclegan. Remove it, choose another `--grid`, or use"
                " `--overwrite`."
            )
        if any(os.path.abspath(grid) == os.path.abspath(path) for job in naming.jobs for path in job.files):
            raise UsageError(f"{grid} is the translation of an image. Choose another `--grid`.")
    if gallery:
        refuse_foreign_pages(output, len(naming.jobs))


def _is_done(job: Job) -> bool:
    return all(os.path.isfile(path) for path in job.translations)


def _recorder(report: Report, say: Callable[[str], None], is_folder: bool) -> Callable[[Outcome], None]:
    """A function that adds an outcome to the report, and says what the user should know now."""
    started = time.perf_counter()
    said: set[str] = set()
    more = LISTED if is_folder else ""

    def record(outcome: Outcome) -> None:
        report.add(outcome, time.perf_counter() - started)
        if outcome.reason:
            say(f"{outcome.job.source}: {outcome.reason}")
        for note in outcome.notes:
            if note.kind not in said:
                said.add(note.kind)
                say(f"{outcome.job.source}: {note.text}.{more}")

    return record


def _follow(
    outcomes: Iterable[Outcome],
    report: Report,
    record: Callable[[Outcome], None],
    progress: Progress,
    total: int,
    strict: bool,
) -> Outcome | None:
    """Records outcomes until one of them stops the work, and returns that one; None if the work was done."""
    for done, outcome in enumerate(outcomes, start=1):
        record(outcome)
        num_translated = len(report.translated)
        progress(num_translated, done - num_translated, total, report.images_per_second)
        if outcome.stops or (strict and outcome.reason):
            return outcome
    return None


def _record_rest(
    report: Report, jobs: list[Job], late: list[Outcome], settings: Settings, record: Callable[[Outcome], None]
) -> None:
    """Adds the images that were finished after the work was stopped, also those by processes of Ray."""
    for outcome in late:
        record(outcome)
    if not settings.overwrite:
        recorded = {*report.translated, *(entry["path"] for entry in report.failed)}
        report.translated += [job.name for job in jobs if job.name not in recorded and _is_done(job)]


def _run(
    engine: Engine,
    bundle: Bundle,
    jobs: list[Job],
    settings: Settings,
    devices: list[str],
    cycle: bool,
    strict: bool,
    late: list[Outcome],
) -> Generator[Outcome]:
    if engine == "ray":
        from cyclegan.translation.ray_engine import run_jobs_on_ray

        return run_jobs_on_ray(bundle, jobs, settings, cycle=cycle, strict=strict)
    return run_jobs(bundle, jobs, settings, devices, cycle=cycle, late=late)


def _is_whole(job: Job, say: Callable[[str], None]) -> bool:
    """Whether the translations can be shown; if one has been damaged since it was written, a line for the user."""
    for path in job.translations:
        try:
            read_header(path, max_pixels=sys.maxsize)
        except ReadFailure as error:
            say(f"{error}. This translation is not shown. Remove the file to have it written again.")
            return False
    return True


def _write_gallery(
    folder: Path, jobs: list[Job], info: BundleInfo, settings: Settings, say: Callable[[str], None]
) -> None:
    try:
        entries = make_entries(jobs, info, settings, say)
        write_gallery(folder, entries, title=f"{info.provenance.dataset}, {settings.direction}")
    except OSError as error:
        raise CycleganError(f"The gallery in {folder} cannot be written: {error.strerror}.") from error


def _write_grid(path: Path, jobs: list[Job], info: BundleInfo) -> None:
    if not jobs:
        raise CycleganError(f"The contact sheet {path} cannot be written: there is no translation to show.")
    inputs = {job.source for job in jobs}

    def read(file: Path) -> Planes:
        if file in inputs:
            return read_image_and_alpha(file, 3, info.value_range, sys.maxsize)
        return read_translation(file, info)

    entries = [Entry(job.name, job.source, job.output, job.cycled) for job in jobs]
    try:
        write_contact_sheet(path, contact_sheet(entries, read=read), FORMAT_OF[path.suffix.lower()])
    except (OSError, ValueError, ReadFailure) as error:
        raise CycleganError(f"The contact sheet {path} cannot be written: {error}") from error
