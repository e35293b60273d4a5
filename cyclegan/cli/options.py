"""Options that several commands share: each has its help text and its default here."""

from pathlib import Path

import click


class WholeNumber(click.IntRange):
    """A whole number in a range. The error for a text does not call it an "integer range", as that of its base does."""

    name = "whole number"


model_option = click.option(
    "--model",
    metavar="MODEL",
    required=True,
    help="Trained model: a run, a bundle, a name from `cyclegan models list`, or hf://owner/name.",
)

which_option = click.option(
    "--which", type=click.Choice(["best", "last"]), help="Bundle of a run. [best if the run was scored, else last]"
)

direction_option = click.option(
    "--direction", type=click.Choice(["ab", "ba"]), required=True, help="ab: from A to B; ba: from B to A."
)

# None if the option is not given, because a continued run then keeps its devices. Elsewhere None means auto.
devices_option = click.option(
    "--devices", metavar="DEVICES", help="Devices to use: auto, cpu, cpu:2, gpu or gpu:0,1. [auto]"
)

data_dir_option = click.option(
    "--data-dir",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that contains the data sets. [$CYCLEGAN_DATA_DIR or ~/.cache/cyclegan]",
)
