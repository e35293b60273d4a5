"""The work of the engine on a Ray cluster, with Ray Data."""

import contextlib
import logging
import pickle
import signal
from collections.abc import Generator
from typing import Any

import psutil

from cyclegan.bundles.bundle import Bundle, load_bundle
from cyclegan.errors import CycleganError, UsageError
from cyclegan.runtime.atomic_files import remove_litter_of
from cyclegan.translation.engine import run_jobs
from cyclegan.translation.naming import Job
from cyclegan.translation.settings import Outcome, Settings
from cyclegan.translation.translator import Translator

JOBS_PER_TASK = 64


class _Actor:
    """A process of the cluster, with the model. Jobs and outcomes travel as pickled bytes."""

    def __init__(self, folder: str, settings: Settings, cycle: bool, strict: bool):
        self._bundle, self._settings, self._cycle, self._strict = load_bundle(folder), settings, cycle, strict

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        from cyclegan.runtime.devices import device_names

        jobs = [pickle.loads(job) for job in batch["job"]]
        outcomes: list[Outcome] = []
        late: list[Outcome] = []
        work = run_jobs(self._bundle, jobs, self._settings, device_names("auto"), cycle=self._cycle, late=late)
        with contextlib.closing(work):
            for outcome in work:
                outcomes.append(outcome)
                if outcome.stops or (self._strict and outcome.reason):
                    break
        # Failures come last, because nothing is taken after the one that stops the work.
        outcomes = sorted(outcomes + late, key=lambda outcome: outcome.reason is not None)
        return {"outcome": [pickle.dumps(outcome) for outcome in outcomes]}


def run_jobs_on_ray(
    bundle: Bundle, jobs: list[Job], settings: Settings, *, cycle: bool, strict: bool
) -> Generator[Outcome]:
    """Works like `run_jobs`, in the processes of a Ray cluster, or of Ray on this machine if no cluster is running.

    There is one process for each GPU, or one for each machine if there are no GPUs. The bundle, the images and the
    outputs must have the same absolute paths on all machines.

    Args:
        bundle: see `run_jobs`.
        jobs: see `run_jobs`.
        settings: see `run_jobs`.
        cycle: see `run_jobs`.
        strict: whether a process ends its work on the images that it was given at the first one that fails.

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
    for direction in ("ab", "ba") if cycle else (settings.direction,):  # errors are raised here, not in an actor
        Translator(bundle, direction, size=settings.size, tile=settings.tile)
    is_ours = not ray.is_initialized()
    others = psutil.Process().children()
    if is_ours:
        on_sigterm = signal.getsignal(signal.SIGTERM)
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
        with contextlib.suppress(ValueError):  # signals can be handled in the main thread only
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray replaces the handler
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        num_gpus = int(ray.cluster_resources().get("GPU", 0))
        outcomes = ray.data.from_items([{"job": pickle.dumps(_absolute(job))} for job in jobs]).map_batches(
            _Actor,
            batch_size=JOBS_PER_TASK,
            compute=ray.data.ActorPoolStrategy(size=num_gpus or len(ray.nodes())),
            num_gpus=1 if num_gpus else 0,
            fn_constructor_args=(str(bundle.folder.resolve()), settings, cycle, strict),
        )
        by_name = {job.name: job for job in jobs}
        for row in outcomes.iter_rows():
            outcome: Outcome = pickle.loads(row["outcome"])
            yield outcome._replace(job=by_name[outcome.job.name])
    except ray.exceptions.RayError as error:
        cause = str(error).strip().splitlines()[-1]
        raise CycleganError(
            f"A process of the Ray cluster failed: {cause}. The translations that exist are kept."
        ) from error
    finally:
        if is_ours:
            _shut_down(others)
            remove_litter_of(*(path for job in jobs for path in job.files), min_age=0)


def _shut_down(others: list[psutil.Process]) -> None:
    """Ends Ray on this machine. When this returns, none of its processes writes another image.

    Args:
        others: children of this process that are not of Ray.
    """
    import ray

    own = [child for child in psutil.Process().children() if child not in others]
    processes = [each for child in own for each in (child, *child.children(recursive=True))]
    ray.shutdown()
    for process in psutil.wait_procs(processes, timeout=10)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _absolute(job: Job) -> Job:
    return Job(
        job.source.absolute(),
        job.name,
        job.output.absolute(),
        job.cycled and job.cycled.absolute(),
        job.picture and job.picture.absolute(),
    )
