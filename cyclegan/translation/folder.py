"""Images in, the same tree of translated images out, with a report of what became of each."""

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Literal

from cyclegan.bundle import Bundle
from cyclegan.data.decoding import BadImage, ValueRange, read_header
from cyclegan.data.encoding import FileFormat, levels_of
from cyclegan.errors import CycleganError, UsageError
from cyclegan.runtime.atomic_files import write_atomically
from cyclegan.translation.contact_sheet import contact_sheet
from cyclegan.translation.engine import run_jobs
from cyclegan.translation.gallery import Entry, refuse_foreign_pages, write_gallery
from cyclegan.translation.naming import FORMAT_OF, Job, Plan, plan_jobs, refuse_sources
from cyclegan.translation.settings import Outcome, Settings

REPORT_FILE = "report.json"

Engine = Literal["local", "ray"]


@dataclasses.dataclass
class Report:
    """What became of the images, by their names below the input.

    Attributes:
        translated: written in this call.
        skipped: passed over, because all their files were there.
        failed: `path` and `reason`, one line.
        renamed: those whose output keeps their suffix, because of another with the same name, with its name.
        notes: `path` and `note`, what the user should know.
        images_per_second: translated, from the first to the last.
    """

    translated: list[str] = dataclasses.field(default_factory=list)
    skipped: list[str] = dataclasses.field(default_factory=list)
    failed: list[dict[str, str]] = dataclasses.field(default_factory=list)
    renamed: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: list[dict[str, str]] = dataclasses.field(default_factory=list)
    images_per_second: float = 0.0


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
    report: Callable[[str], None],
    progress: Callable[[int, int, float], None] | None = None,
) -> Report:
    """Translates images, folders of images and patterns, each image in its own size.

    Each file appears whole or not at all, so a call that was interrupted is continued by the same call. A folder as
    output gets `report.json`, whatever ends the work.

    Args:
        bundle: the trained model.
        inputs: see `plan_jobs`.
        output: likewise.
        settings: how to translate.
        file_format: see `plan_jobs`.
        cycle: also write the way back, `horse.cycled.png`.
        gallery: also write `index.html`, that shows all images.
        grid: also write a contact sheet, to this file.
        devices: TensorFlow's names of them; they share the images.
        engine: "local", or "ray": a Ray cluster, or Ray on this machine where there is none.
        strict: stop at the first image that fails.
        report: gets a line for each image that fails and for each note; those alike are said once.
        progress: called as (done, total, images per second); skipped images are in neither number.

    Raises:
        UsageError: if there are no images, the bundle lacks a direction, or an output would lie in the input.
        CycleganError: if nothing more can be written, as on a full disk, or an image fails and `strict` is on. What is
            done is kept.
    """
    if grid and grid.suffix.lower() not in FORMAT_OF:
        raise UsageError(f"`--grid` must end in {' '.join(FORMAT_OF)}. Received: {grid}.")
    plan = plan_jobs(inputs, output, file_format=file_format, cycle=cycle, gallery=gallery)
    _refuse_foreign_report(plan)
    if grid:
        refuse_sources(plan.jobs, [grid])
        if os.path.exists(grid) and not settings.overwrite:
            raise UsageError(f"{grid} is there already. Remove it, choose another `--grid`, or give `--overwrite`.")
        if any(os.path.abspath(grid) == os.path.abspath(path) for job in plan.jobs for path in job.files):
            raise UsageError(f"{grid} is the translation of an image. Choose another `--grid`.")
    if gallery:
        refuse_foreign_pages(output, len(plan.jobs))
    todo = [job for job in plan.jobs if settings.overwrite or not all(os.path.isfile(path) for path in job.files)]
    result = Report()
    pending = {job.name for job in todo}
    result.skipped = [job.name for job in plan.jobs if job.name not in pending]
    if plan.folder:
        renamed = (job for job in plan.jobs if job.output.stem != job.source.stem)
        result.renamed = {job.name: job.output.relative_to(output).as_posix() for job in renamed}
    for path, reason in plan.unlisted:
        result.failed.append({"path": str(path), "reason": reason})
        report(f"{path}: {reason}")
        if strict:
            raise CycleganError(f"{path}: {reason}.")
    started = time.perf_counter()
    said: set[str] = set()
    late: list[Outcome] = []

    def record(outcome: Outcome) -> None:
        name = outcome.job.name
        pending.discard(name)
        if outcome.reason:
            result.failed.append({"path": name, "reason": outcome.reason})
            report(f"{outcome.job.source}: {outcome.reason}")
        else:
            result.translated.append(name)
        for note in outcome.notes:
            result.notes.append({"path": name, "note": note})
            if (kind := note.split(" at ")[0].split(" of ")[0]) not in said:
                said.add(kind)
                others = f" The same may hold for others; {REPORT_FILE} lists them." if plan.folder else ""
                report(f"{outcome.job.source}: {note}.{others}")
        result.images_per_second = len(result.translated) / (time.perf_counter() - started)

    try:
        with contextlib.closing(_run(engine, bundle, todo, settings, list(devices), cycle, late)) as outcomes:
            for outcome in outcomes:
                record(outcome)
                if progress:
                    progress(len(todo) - len(pending), len(todo), result.images_per_second)
                if outcome.stops or (strict and outcome.reason):
                    what = outcome.reason if outcome.stops else f"{outcome.job.name}: {outcome.reason}"
                    raise CycleganError(f"{what}. Translated before and kept: {len(result.translated)}.")
    except UsageError:
        raise
    except BaseException:
        # An interruption lets the files be finished that were being written.
        for outcome in late:
            record(outcome)
        result.translated += [job.name for job in todo if job.name in pending and not settings.overwrite and _done(job)]
        with contextlib.suppress(CycleganError):  # whatever ended the work is worse
            _write_report(plan, result, bundle, settings)
        raise
    _write_report(plan, result, bundle, settings)

    entries = [entry for job in plan.jobs if _done(job) and (entry := _entry(job, report))] if gallery or grid else []
    if gallery:
        _write_gallery(output, entries, title=f"{bundle.info.provenance.dataset}, {settings.direction}")
    if grid:
        sources = {job.name: job.source for job in plan.jobs}
        shown = [entry._replace(input=sources[entry.name]) for entry in entries]
        _write_grid(grid, shown, bundle.info.value_range)
    return result


def _run(
    engine: Engine,
    bundle: Bundle,
    jobs: list[Job],
    settings: Settings,
    devices: list[str],
    cycle: bool,
    late: list[Outcome],
) -> Generator[Outcome]:
    if engine == "ray":
        from cyclegan.translation.ray_engine import run_jobs_on_ray

        return run_jobs_on_ray(bundle, jobs, settings, cycle=cycle)
    return run_jobs(bundle, jobs, settings, devices, cycle=cycle, late=late)


def _done(job: Job) -> bool:
    return all(os.path.isfile(path) for path in job.files)


def _refuse_foreign_report(plan: Plan) -> None:
    path = plan.folder and plan.folder / REPORT_FILE
    if not path or not os.path.exists(path):
        return
    try:
        ours = "images_per_second" in json.loads(path.read_text("utf-8", "replace"))
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise UsageError(f"{path} is there and no report of ours. Move it, or choose another folder.")


def _write_report(plan: Plan, result: Report, bundle: Bundle, settings: Settings) -> None:
    if not plan.folder:
        return
    path = plan.folder / REPORT_FILE
    order = {job.name: number for number, job in enumerate(plan.jobs)}
    result.translated.sort(key=order.__getitem__)
    result.failed.sort(key=lambda entry: order.get(entry["path"], -1))
    provenance = bundle.info.provenance
    content = {
        **dataclasses.asdict(result),
        "settings": dataclasses.asdict(settings),
        "model": {
            "bundle": str(bundle.folder),
            "dataset": provenance.dataset,
            "step": provenance.step,
            "weights_sha256": {key: entry.sha256 for key, entry in bundle.info.weights.items()},
        },
    }
    # Names that are no UTF-8 become escapes of JSON.
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise CycleganError(f"{path} cannot be written: {error.strerror}. All translations are kept.") from error


def _entry(job: Job, report: Callable[[str], None]) -> Entry | None:
    """Also of a translation of an earlier call, which may have been damaged since; None, and said, if so."""
    for path in (job.output, job.cycled, job.picture):
        try:
            if path:
                read_header(path, max_pixels=sys.maxsize)
        except BadImage as error:
            report(f"{error}. It is not shown; remove it to have it made again.")
            return None
    return Entry(job.name, job.picture or job.source, job.output, job.cycled)


def _write_gallery(folder: Path, entries: list[Entry], title: str) -> None:
    """Raises CycleganError if it cannot be written."""
    try:
        write_gallery(folder, entries, title=title)
    except OSError as error:
        raise CycleganError(f"The gallery in {folder} cannot be written: {error.strerror}.") from error


def _write_grid(path: Path, entries: list[Entry], value_range: ValueRange | None) -> None:
    """Raises CycleganError if it cannot be made."""
    if not entries:
        raise CycleganError(f"There is no translation to show in {path}.")
    inputs = {entry.input for entry in entries}

    def value_range_of(file: Path) -> ValueRange | None:
        if value_range is None or file in inputs:
            return value_range
        return levels_of(value_range, FORMAT_OF[file.suffix.lower()])[:2]

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(entries, value_range_of=value_range_of).save(path)
    except (OSError, ValueError, BadImage) as error:
        raise CycleganError(f"The contact sheet {path} cannot be written: {error}") from error
