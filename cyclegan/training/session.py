"""From a request to a training: the configuration, the devices, the images, then the run."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console

from cyclegan.data.inventory import Inventory, recall_images, take_inventory
from cyclegan.data.sources import CACHE, Source, default_data_dir, resolve_source, scan_headers
from cyclegan.errors import CycleganError, UsageError
from cyclegan.runtime.allocator import keep_freed_memory
from cyclegan.runtime.startup import import_tensorflow
from cyclegan.training.claim import claim_run
from cyclegan.training.record import read_inventory
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import PLACES_OF_DATA, Plan, Request, plan_run, refuse_unwritable

if TYPE_CHECKING:
    import tensorflow as tf

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
    init_from: str | pathlib.Path | None = None,
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
        devices: the request for `choose_devices`. None: "auto" for a new run, and the first request for a continued
            run.
        init_from: the run or bundle whose generators a new run starts from.
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
    plan = plan_run(request)
    if init_from and plan.record:
        raise UsageError(
            f"`--init-from` is for new runs. Received: --init-from {init_from} with {plan.folder}, which was started"
            " before."
        )
    if not dry_run:
        refuse_unwritable(plan.folder)

    # What a request gets wrong is said above, before the seconds that TensorFlow takes to start.
    keep_freed_memory()
    import_tensorflow()
    from cyclegan.training.dry_run import describe_run
    from cyclegan.training.run import TrainingResult, run_training
    from cyclegan.training.warm_start import load_start

    devices = devices or (plan.record.devices if plan.record else "auto")
    strategy = _start_devices(devices, plan.config.training.deterministic, progress)
    data_folder = pathlib.Path(data_dir) if data_dir else default_data_dir()
    cache_dir = data_folder / CACHE
    source, inventory = _find_images(plan, data_folder, progress)
    progress.line(
        f"Images of {source.name}: {len(source.train_a)} A and {len(source.train_b)} B to train,"
        f" {len(source.test_a)} A and {len(source.test_b)} B to test."
    )
    if not source.test_a or not source.test_b:
        progress.line("No test images of both domains: samples come from the training images where they are missing.")
    start = load_start(plan.config, init_from) if init_from else None
    if dry_run:
        for line in describe_run(plan.config, source, strategy):
            progress.line(line)
        return TrainingResult(plan.folder, 0, False)
    with claim_run(request, plan, progress.line) as plan:
        try:
            result = run_training(
                plan, source, inventory, strategy, devices, progress, cache_dir, init_from=start, profile=profile
            )
        except CycleganError as error:
            progress.log(f"Error: {error}")
            raise
        progress.log(f"{'Done' if result.complete else 'Stopped'} at step {result.step}.")
    return result


def _start_devices(devices: str, deterministic: bool, progress: Progress) -> "tf.distribute.Strategy":
    """The strategy for `--devices`, and the settings of TensorFlow that must be made before it is used."""
    import tensorflow as tf

    from cyclegan.runtime.devices import choose_devices

    strategy, description = choose_devices(devices)
    progress.line(f"Devices: {description}.")
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    # This turns off a fusion of operations that fails on leaky ReLU and prints a page of errors at each start.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    return strategy


def _find_images(plan: Plan, data_dir: pathlib.Path, progress: Progress) -> tuple[Source, Inventory]:
    """The images of a run, and its training images as its first session found them."""
    data = plan.config.data
    try:
        listed = resolve_source(data, data_dir, progress.line)
    except UsageError as error:
        hint = " If the images have moved, say where they are now: --dataset, or --domain-a and --domain-b."
        raise UsageError(f"{error}{hint if plan.record else ''}") from error
    if plan.record:
        inventory = read_inventory(plan.folder, plan.record)
        try:
            return recall_images(listed, inventory, data), inventory
        except UsageError as error:
            moved = [
                f" {key} is {new} now; it was {old}."
                for key, (old, new) in plan.changes.items()
                if key in PLACES_OF_DATA
            ]
            raise UsageError(f"{error}{''.join(moved)}") from error
    cache_dir = data_dir / CACHE
    source = scan_headers(listed, data.max_pixels, data.max_bad_images, progress.line, cache_dir=cache_dir)
    return source, take_inventory(listed, source, data)
