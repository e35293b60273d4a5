"""From a request to a training: the configuration, the devices, the images, then the run."""

import contextlib
import functools
import json
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console

from cyclegan.config.config import Config
from cyclegan.config.sections import EvaluationConfig
from cyclegan.data.inventory import (
    Inventory,
    decode_inventory,
    encode_inventory,
    hold_back,
    recall_images,
    take_inventory,
)
from cyclegan.data.sources import CACHE, Source, default_data_dir, resolve_source, scan_headers
from cyclegan.errors import CycleganError, UsageError
from cyclegan.runtime.allocator import keep_freed_memory
from cyclegan.runtime.startup import import_tensorflow
from cyclegan.runtime.workers import find_workers
from cyclegan.training.claim import claim_run
from cyclegan.training.record import RunRecord, read_inventory
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import PLACES_OF_DATA, Plan, Request, plan_run, refuse_unwritable

if TYPE_CHECKING:
    from cyclegan.evaluation.features import Extractor
    from cyclegan.runtime.cluster import Cluster
    from cyclegan.training.run import TrainingResult

DEFAULT_RUNS_DIR = pathlib.Path("runs")


def train(
    config: str | None = None,
    overrides: Sequence[tuple[str, object]] = (),
    *,
    run_dir: str | pathlib.Path | None = None,
    runs_dir: str | pathlib.Path = DEFAULT_RUNS_DIR,
    data_dir: str | pathlib.Path | None = None,
    devices: str | None = None,
    all_reduce: str | None = None,
    workers: str | None = None,
    worker_index: int | None = None,
    start_seconds: float | None = None,
    init_from: str | pathlib.Path | None = None,
    fresh: bool = False,
    dry_run: bool = False,
    profile: bool = False,
    console: rich.console.Console | None = None,
) -> "TrainingResult":
    """Trains a model as `cyclegan train` does.

    Args:
        config: the name of a preset, or the path of a YAML file. None: the preset of the data set, if it has one, for
            a new run, and the stored configuration for a continued run.
        overrides: (dotted key, value) pairs, such as ("training.epochs", 10).
        run_dir: a new or empty directory, or a run to continue. None: the next number under `runs_dir`.
        runs_dir: the folder in which numbered runs are created.
        data_dir: the folder in which data sets are prepared. None: `default_data_dir()`.
        devices: the request for `choose_devices`. None: "auto" for a new run and for several processes, and the first
            request for a run that is continued in one process.
        all_reduce: how several devices sum their gradients, as `choose_devices` takes it.
        workers: the processes that train together, as `find_workers` takes them. All are started with the same request.
            None: those in `TF_CONFIG`, or this process alone.
        worker_index: the number of this process among them, counted from 0.
        start_seconds: how long to wait for all processes. None: five minutes.
        init_from: the run or bundle whose generators a new run starts from.
        fresh: whether a run starts over of whose checkpoints none can be used.
        dry_run: whether to describe the training only.
        profile: whether to write a trace of a few steps for TensorBoard.
        console: the console to print to. None: standard output.

    Returns:
        The run directory, the number of completed steps, and whether the run is complete.

    Raises:
        UsageError: if the request is wrong. Nothing is then written.
        CycleganError: if the training cannot go on.
    """
    progress = Progress(console or rich.console.Console())
    request = Request(pathlib.Path(run_dir) if run_dir else None, pathlib.Path(runs_dir), config, tuple(overrides))
    processes = find_workers(workers, worker_index)
    if profile and processes:
        raise UsageError("`--profile` must be used without other workers, whose steps it would divide differently.")
    plan, refusal = None, None
    try:  # what a request gets wrong is said before the seconds that TensorFlow takes to start
        plan = _plan(request, init_from, fresh, dry_run) if processes is None or processes.rank == 0 else None
    except CycleganError as error:
        if processes is None:
            raise
        refusal = error  # the other workers are told when all are there

    keep_freed_memory()
    import_tensorflow()
    from cyclegan.runtime.cluster import START_SECONDS, start_cluster

    # Those of the record are of a run in one process, or of one of several.
    devices = devices or (plan.record.devices if plan and plan.record and not processes else "auto")
    cluster = start_cluster(devices, processes, progress.line, start_seconds or START_SECONDS, all_reduce)
    with cluster.together():
        if refusal:
            raise refusal
    plan, _ = _share(plan, (), cluster)
    _configure(plan.config.training.deterministic)
    data_folder = pathlib.Path(data_dir) if data_dir else default_data_dir()
    if dry_run:
        return _describe(plan, data_folder, init_from, cluster, progress)
    return _train_run(request, plan, data_folder, init_from, cluster, devices, progress, fresh=fresh, profile=profile)


def _describe(
    plan: Plan,
    data_folder: pathlib.Path,
    init_from: str | pathlib.Path | None,
    cluster: "Cluster",
    progress: Progress,
) -> "TrainingResult":
    """Describes a training that does not take place."""
    from cyclegan.training.dry_run import describe_run
    from cyclegan.training.precision import with_known_precision
    from cyclegan.training.run import TrainingResult
    from cyclegan.training.warm_start import load_start

    with cluster.together():
        if cluster.is_chief:
            plan = with_known_precision(plan, cluster, progress)
            source, _ = _find_images(plan, data_folder, progress)
            _load_extractor(plan)
            if init_from:
                load_start(plan.config, init_from)
            for line in describe_run(plan.config, source, cluster.strategy):
                progress.line(line)
    return TrainingResult(plan.folder, 0, False)


def _train_run(
    request: Request,
    plan: Plan,
    data_folder: pathlib.Path,
    init_from: str | pathlib.Path | None,
    cluster: "Cluster",
    devices: str,
    progress: Progress,
    *,
    fresh: bool,
    profile: bool,
) -> "TrainingResult":
    """Finds the images, claims the run directory, and trains."""
    from cyclegan.training.precision import with_known_precision
    from cyclegan.training.run import run_training
    from cyclegan.training.warm_start import load_start

    source, inventory, extractor = None, Inventory(), None
    with cluster.together():
        start = load_start(plan.config, init_from) if init_from else None
        if cluster.is_chief:
            source, inventory = _find_images(plan, data_folder, progress)
            extractor = _load_extractor(plan)
    with contextlib.ExitStack() as claims:
        claim = None
        with cluster.together():
            if cluster.is_chief:
                claim = claims.enter_context(claim_run(request, plan, progress.line))
                plan = with_known_precision(claim.plan, cluster, progress)
        plan, inventory = _share(plan, inventory, cluster)
        with cluster.together():
            if source is None:  # the chief has said which images they are
                source, _ = _find_images(plan, data_folder, progress, inventory)
        try:
            train_once = functools.partial(
                run_training,
                source=source,
                inventory=inventory,
                cluster=cluster,
                devices=devices,
                progress=progress,
                cache_dir=data_folder / CACHE,
                extractor=extractor,
                renew_claim=claim.renew if claim else lambda run_id: False,
            )
            result = train_once(plan, init_from=start, fresh=fresh, profile=profile)
            while result.next:  # the run was ill and has gone back
                result = train_once(result.next)
        except CycleganError as error:
            progress.log(f"Error: {error}")
            raise
        progress.log(f"{'Done' if result.complete else 'Stopped'} at step {result.step}.")
    return result


def _plan(request: Request, init_from: str | pathlib.Path | None, fresh: bool, dry_run: bool) -> Plan:
    """The plan of a request, if nothing is wrong with it as far as that can be seen without TensorFlow."""
    plan = plan_run(request)
    if fresh and not plan.record:
        raise UsageError(
            "`--fresh` must be used with the --run-dir of a run whose checkpoints cannot be used. Received:"
            f" --fresh with {plan.folder}, which is a new run."
        )
    if init_from and plan.record and not fresh:
        raise UsageError(
            f"`--init-from` is for new runs. Received: --init-from {init_from} with {plan.folder}, which was started"
            " before."
        )
    if not dry_run:
        refuse_unwritable(plan.folder)
    return plan


def _share(plan: Plan | None, inventory: Inventory, cluster: "Cluster") -> tuple[Plan, Inventory]:
    """The plan of the chief and its list of images, for all processes."""
    if plan and cluster.num_processes == 1:
        return plan, inventory
    content = plan and {
        "folder": str(plan.folder),
        "config": plan.config.model_dump(mode="json"),
        "record": plan.record and plan.record.model_dump(mode="json"),
        "inventory": encode_inventory(inventory).hex(),
    }
    received = json.loads(cluster.from_chief(json.dumps(content).encode()))
    if plan and cluster.is_chief:
        return plan, inventory
    record = received["record"] and RunRecord.model_validate(received["record"])
    config = Config.model_validate(received["config"])
    return (
        Plan(pathlib.Path(received["folder"]), config, record, {}),
        decode_inventory(bytes.fromhex(received["inventory"])),
    )


def _configure(deterministic: bool) -> None:
    """The settings of TensorFlow that must be made before anything is computed."""
    import tensorflow as tf

    if deterministic:
        tf.config.experimental.enable_op_determinism()
    # This turns off a fusion of operations that fails on leaky ReLU and prints a page of errors at each start.
    tf.config.optimizer.set_experimental_options({"remapping": False})


def _load_extractor(plan: Plan) -> "Extractor | None":
    """The extractor of the scores, if there is one that needs no training. What is wrong with it is said here."""
    from cyclegan.evaluation.extractors import CLASSIFIER, load_extractor

    config, features = plan.config, plan.config.evaluation.features
    if not config.is_scored or not features or features == CLASSIFIER:
        return None
    try:
        return load_extractor(features, config.data.crop_size)
    except UsageError as error:
        hint = " If the file has moved, say where it is now: --set evaluation.features=FILE." if plan.record else ""
        raise UsageError(f"{error}{hint}") from error


def _find_images(
    plan: Plan, data_dir: pathlib.Path, progress: Progress, known: Inventory | None = None
) -> tuple[Source, Inventory]:
    """The images of a run, and its training images as its first session found them, which may be `known` already."""
    data = plan.config.data
    try:
        listed = resolve_source(data, data_dir, progress.line)
    except UsageError as error:
        hint = " If the images have moved, say where they are now: --dataset, or --domain-a and --domain-b."
        raise UsageError(f"{error}{hint if plan.record else ''}") from error
    if known is None and plan.record:
        known = read_inventory(plan.folder, plan.record)
    if known is None:
        cache_dir = data_dir / CACHE
        good = scan_headers(listed, data.max_pixels, data.max_bad_images, progress.line, cache_dir=cache_dir)
        source = hold_back(good, data)
        known = take_inventory(listed, source, data)
    else:
        source = _recall(listed, known, plan)
    held = f" {len(source.validation_a)} A and {len(source.validation_b)} B to validate,"
    progress.line(
        f"Images of {source.name}: {len(source.train_a)} A and {len(source.train_b)} B to train,"
        f"{held if data.validation_fraction else ''} {len(source.test_a)} A and {len(source.test_b)} B to test."
    )
    without = [f"domain {name}" for name, images in (("A", source.test_a), ("B", source.test_b)) if not images]
    if not plan.config.is_scored and plan.config.evaluation != EvaluationConfig():
        progress.line("The keys evaluation.* have no effect without validation images: data.validation_fraction is 0.")
    if without:
        progress.line(f"There are no test images of {' or '.join(without)}: its sample pictures show training images.")
    return source, known


def _recall(listed: Source, known: Inventory, plan: Plan) -> Source:
    """The images of a run that has begun. The error for other images says where they are looked for now."""
    try:
        return recall_images(listed, known, plan.config.data)
    except UsageError as error:
        changes = ((key, *pair) for key, pair in plan.changes.items() if key in PLACES_OF_DATA)
        moved = "".join(f" {key} is {new} now; it was {old}." for key, old, new in changes)
        raise UsageError(f"{error}{moved}") from error
