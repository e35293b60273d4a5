"""The same work on a Ray cluster, through Ray Data."""

import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any

from cyclegan.bundle import Bundle, load_bundle
from cyclegan.errors import CycleganError, UsageError
from cyclegan.translation.engine import run_jobs
from cyclegan.translation.naming import Job
from cyclegan.translation.settings import Outcome, Settings
from cyclegan.translation.translator import Translator

JOBS_PER_TASK = 64


class _Actor:
    """A process of the cluster, with the model."""

    def __init__(self, folder: str, settings: Settings, cycle: bool):
        self._bundle, self._settings, self._cycle = load_bundle(folder), settings, cycle

    def __call__(self, batch: dict[str, Any]) -> dict[str, list]:
        from cyclegan.runtime.devices import device_names

        jobs = [_job(row) for row in zip(*(batch[key] for key in Job._fields), strict=True)]
        outcomes = list(run_jobs(self._bundle, jobs, self._settings, device_names("auto"), cycle=self._cycle))
        return {
            "name": [outcome.job.name for outcome in outcomes],
            "reason": [outcome.reason or "" for outcome in outcomes],
            "notes": ["\n".join(outcome.notes) for outcome in outcomes],
            "stops": [outcome.stops for outcome in outcomes],
        }


def run_jobs_on_ray(bundle: Bundle, jobs: list[Job], settings: Settings, *, cycle: bool) -> Generator[Outcome]:
    """Like `run_jobs`, in the processes of a Ray cluster, or of a Ray on this machine where none is running.

    One process for each GPU, or for each machine where there are none. Bundle, images and outputs must have the same
    absolute paths on all machines.

    Raises:
        UsageError: if Ray is not installed, the bundle lacks a direction, or a setting is not allowed.
        CycleganError: if the weights are missing or damaged, or a process of the cluster fails.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError("`--engine ray` needs the extra `ray`: pip install 'cyclegan[ray]'") from error
    if not jobs:
        return
    for direction in ("ab", "ba") if cycle else (settings.direction,):  # what is wrong is said here, not by an actor
        Translator(bundle, direction, size=settings.size, tile=settings.tile)
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    num_gpus = int(ray.cluster_resources().get("GPU", 0))
    rows = [{key: str(value or "") for key, value in _absolute(job)._asdict().items()} for job in jobs]
    by_name = {job.name: job for job in jobs}
    outcomes = ray.data.from_items(rows).map_batches(
        _Actor,
        batch_size=JOBS_PER_TASK,
        compute=ray.data.ActorPoolStrategy(size=num_gpus or len(ray.nodes())),
        num_gpus=1 if num_gpus else 0,
        fn_constructor_args=(str(bundle.folder.resolve()), settings, cycle),
    )
    try:
        for row in outcomes.iter_rows():
            notes = tuple(row["notes"].split("\n")) if row["notes"] else ()
            yield Outcome(by_name[row["name"]], row["reason"] or None, notes, bool(row["stops"]))
    except ray.exceptions.RayError as error:
        cause = str(error).strip().splitlines()[-1]
        raise CycleganError(f"A process of the Ray cluster failed: {cause}. What is done is kept.") from error


def _absolute(job: Job) -> Job:
    return Job(
        job.source.absolute(),
        job.name,
        job.output.absolute(),
        job.cycled and job.cycled.absolute(),
        job.picture and job.picture.absolute(),
    )


def _job(row: tuple[str, ...]) -> Job:
    source, name, output, cycled, picture = row
    return Job(
        Path(source), str(name), Path(output), Path(cycled) if cycled else None, Path(picture) if picture else None
    )
