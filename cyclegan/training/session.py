"""From a request to a training: configuration, devices, images, then the loop."""

import pathlib
from collections.abc import Sequence

import rich.console
import tensorflow as tf

from cyclegan.bundle import Bundle, load_bundle
from cyclegan.config.config import Config
from cyclegan.config.sections import GeneratorConfig
from cyclegan.data.sources import default_data_dir, resolve_source, scan_headers
from cyclegan.errors import UsageError
from cyclegan.runtime.devices import choose_devices
from cyclegan.training.dry_run import describe_run
from cyclegan.training.loop import Outcome, run_training
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import plan_run

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
) -> Outcome:
    """Trains a model as `cyclegan train` does.

    Args:
        config: name of a preset, or path of a YAML file; None for the defaults, or what a continued run has stored.
        overrides: (dotted key, value) pairs, such as ("training.epochs", 10).
        run_dir: a new or empty directory, or a run to continue; None for the next number under `runs_dir`.
        runs_dir: where numbered runs go.
        data_dir: where data sets are prepared; None for `default_data_dir()`.
        devices: see `choose_devices`; None for "auto", or what a continued run was started with.
        init_from: run or bundle whose generators a new run starts from.
        dry_run: only say what would be trained.
        profile: write a trace of a few steps for TensorBoard.
        console: where to print; None for standard output.

    Returns:
        The run directory, the step reached, and whether the run is complete.

    Raises:
        UsageError: if the request is wrong. Nothing is then written.
        CycleganError: if the training cannot go on.
    """
    progress = Progress(console or rich.console.Console())
    plan = plan_run(pathlib.Path(run_dir) if run_dir else None, pathlib.Path(runs_dir), config, overrides)
    if init_from and plan.record:
        raise UsageError(
            f"`--init-from` is for new runs. Received: {init_from}, with {plan.folder}, which has been started."
        )
    request = devices or (plan.record.devices if plan.record else "auto")
    strategy, description = choose_devices(request)
    progress.line(f"Devices: {description}.")
    if plan.config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    # The fusion of operations that this turns off fails on leaky ReLU, with a page of errors for each start.
    tf.config.optimizer.set_experimental_options({"remapping": False})

    data = plan.config.data
    source = resolve_source(data, pathlib.Path(data_dir) if data_dir else default_data_dir(), progress.line)
    source = scan_headers(source, data.max_pixels, data.max_bad_images, progress.line)
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
        return Outcome(plan.folder, 0, False)
    return run_training(plan, source, strategy, request, progress, init_from=start, profile=profile)


def load_start(config: Config, path: str | pathlib.Path) -> Bundle:
    """The bundle that the generators of a new run can start from.

    Raises:
        UsageError: if `path` holds no bundle, or generators of another architecture.
    """
    bundle = load_bundle(path)
    info = bundle.info

    def described(generator: GeneratorConfig, channels_a: int, channels_b: int) -> dict[str, object]:
        keys = {f"generator.{key}": value for key, value in generator.structure().items()}
        return keys | {"data.channels_a": channels_a, "data.channels_b": channels_b}

    wanted = described(config.generator, config.data.channels_a, config.data.channels_b)
    held = described(info.generator, info.channels_a, info.channels_b)
    different = [key for key in held if held[key] != wanted.get(key)]
    if different:
        listed = ", ".join(f"{key}={wanted.get(key)}" for key in different)
        settings = " ".join(f"--set {key}={held[key]}" for key in different)
        raise UsageError(
            f"`--init-from {path}` holds other generators than the configuration asks for. To start from them:"
            f" {settings}. Received: {listed}."
        )
    return bundle
