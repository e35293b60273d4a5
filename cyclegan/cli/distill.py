"""`cyclegan distill`: train small generators that imitate large ones."""

from typing import Any

import click

from cyclegan.cli.options import WholeNumber, data_dir_option, devices_option, model_option
from cyclegan.cli.train import train_as_asked
from cyclegan.config.files import parse_override
from cyclegan.runtime.startup import import_tensorflow


@click.command("distill")
@model_option
@click.option("--dataset", metavar="NAME|DIR", help="Data set with training images. [that of the run]")
@click.option("--domain-a", metavar="DIR", help="Folder of domain A, together with --domain-b.")
@click.option("--domain-b", metavar="DIR", help="Folder of domain B.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one key. [half of the filters]")
@click.option("--run-dir", metavar="DIR", help="New directory. [runs/NAME-N]")
@data_dir_option
@click.option("--steps", type=WholeNumber(1), metavar="N", help="Length of the training in steps. [10000]")
@devices_option
@click.option("--precision", metavar="PRECISION", help="As for `cyclegan train`. [auto]")
@click.option("--dry-run", is_flag=True, help="Describe the training, and train nothing.")
def command(
    model: str,
    dataset: str | None,
    domain_a: str | None,
    domain_b: str | None,
    settings: tuple[str, ...],
    steps: int | None,
    precision: str | None,
    **others: Any,
) -> None:
    """Train small generators that imitate those of MODEL on its training images.

    They have half of its filters unless --set says otherwise, so an image takes them about a quarter of the time. If
    MODEL is a run, the discriminators of the run go on judging.

    The result is a run like any other: `cyclegan train --run-dir DIR` continues it.
    """
    options: dict[str, object] = {
        "data.dataset": dataset,
        "data.domain_a": domain_a,
        "data.domain_b": domain_b,
        "training.steps": steps,
        "training.precision": precision,
    }
    given = [(key, value) for key, value in options.items() if value is not None]
    given += [parse_override(text) for text in settings]
    import_tensorflow()
    from cyclegan.training.teaching import student_keys

    train_as_asked(None, student_keys(model, given), **others)
