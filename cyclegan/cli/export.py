"""`cyclegan export`: write a trained generator for another program."""

from pathlib import Path
from typing import Literal

import click

from cyclegan.tensorflow_import import import_tensorflow


@click.command("export")
@click.option("--model", metavar="RUN|BUNDLE", type=click.Path(path_type=Path), required=True, help="Trained model.")
@click.option("--direction", type=click.Choice(["ab", "ba"]), required=True, help="A to B, or B to A.")
@click.option("--format", "format_", type=click.Choice(["pytorch"]), required=True, help="Kind of file.")
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), required=True, help="New file.")
def command(model: Path, direction: Literal["ab", "ba"], format_: Literal["pytorch"], output: Path) -> None:
    """Write a trained generator for another program.

    pytorch: a state_dict that the PyTorch implementation of CycleGAN loads; needs the extra `pytorch`.
    """
    import_tensorflow()
    from cyclegan.interop.pytorch import export_pytorch
    from cyclegan.networks.bundle import load_bundle

    export_pytorch(load_bundle(model), direction, output)
    click.echo(f"{click.format_filename(output)}: generator {direction} of {click.format_filename(model)}")
