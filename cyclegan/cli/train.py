"""`cyclegan train`: train a model, or continue a run."""

import contextlib
import sys
from typing import Any

import click

from cyclegan.cli.exit_codes import INTERRUPTED, REQUEUE
from cyclegan.cli.options import WholeNumber, data_dir_option, devices_option
from cyclegan.config.files import parse_override
from cyclegan.errors import UsageError, printable


@click.command("train")
@click.option("--dataset", metavar="NAME|DIR", help="Data set by name, or a folder with trainA and trainB. [stripes]")
@click.option("--domain-a", metavar="DIR", help="Folder of domain A, together with --domain-b.")
@click.option("--domain-b", metavar="DIR", help="Folder of domain B.")
@click.option("--config", metavar="FILE|PRESET", help="Configuration. [the preset of the data set, if it has one]")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one key, such as training.seed=1.")
@click.option("--init-from", metavar="MODEL", help="Run or bundle whose generators a new run starts from.")
@click.option("--run-dir", metavar="DIR", help="New directory, or the run to continue. [runs/NAME-N]")
@click.option("--fresh", is_flag=True, help="Start a run over of whose checkpoints none can be used.")
@data_dir_option
@click.option("--epochs", type=WholeNumber(1), metavar="N", help="Length of the run in epochs.")
@click.option("--steps", type=WholeNumber(1), metavar="N", help="Length of the run in steps.")
@devices_option
@click.option("--all-reduce", metavar="WAY", help="nccl, hierarchical or one-device, to sum the gradients of devices.")
@click.option("--workers", metavar="HOST:PORT,...|slurm", help="All processes that train together. [$TF_CONFIG or one]")
@click.option("--worker-index", metavar="N", type=WholeNumber(0), help="Which of them this process is, counted from 0.")
@click.option(
    "--start-seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Wait so long for all workers. [300]",
)
@click.option(
    "--precision", metavar="PRECISION", help="float32, float64, mixed_bfloat16, mixed_float16 or auto. [float32]"
)
@click.option("--seed", type=WholeNumber(0), metavar="N", help="Seed of the weights, order, crops, flips and pools.")
@click.option("--profile", is_flag=True, help="Write a trace of a few steps for TensorBoard.")
@click.option("--dry-run", is_flag=True, help="Describe the training, and train nothing.")
def command(
    dataset: str | None,
    domain_a: str | None,
    domain_b: str | None,
    config: str | None,
    settings: tuple[str, ...],
    epochs: int | None,
    steps: int | None,
    precision: str | None,
    seed: int | None,
    **others: Any,
) -> None:
    """Train a model, or continue a run (--run-dir of an existing one).

    Without any option it trains on the built-in data set, `stripes`, which needs no network.
    """
    if epochs and steps:
        raise UsageError(f"Give `--epochs` or `--steps`, not both. Received: --epochs {epochs} --steps {steps}.")
    options: dict[str, object] = {
        "data.dataset": dataset,
        "data.domain_a": domain_a,
        "data.domain_b": domain_b,
        "training.epochs": epochs,
        "training.steps": steps,
        "training.precision": precision,
        "training.seed": seed,
    }
    overrides = [(key, value) for key, value in options.items() if value is not None]
    overrides += [parse_override(text) for text in settings]  # stronger than the options
    train_as_asked(config, overrides, **others)


def train_as_asked(config: str | None, overrides: list[tuple[str, object]], **others: Any) -> None:
    """Trains, says how it ended, and ends the program with the code for that.

    Args:
        config: a preset or a file, see `cyclegan.train`.
        overrides: see `cyclegan.train`.
        others: the other arguments of `cyclegan.train`, among them `dry_run`.
    """
    from cyclegan.runtime.xla_cache import enable_xla_cache, seal_xla_cache
    from cyclegan.training.session import train

    cache = enable_xla_cache(say=lambda line: click.echo(line, err=True))
    try:
        result = train(config, overrides, **others)
    finally:
        if cache:
            seal_xla_cache(cache)
    if others["dry_run"]:
        return
    if result.complete:
        text = f"Done: {result.folder}, step {result.step}. To see it: tensorboard --logdir {result.folder.parent}"
    else:
        text = f"Stopped at step {result.step}. Continue with: cyclegan train --run-dir {result.folder}"
    with contextlib.suppress(OSError):  # the terminal has been closed, which may be why the training stopped
        click.echo(printable(text))
    sys.exit(0 if result.complete else REQUEUE if result.terminated else INTERRUPTED)
