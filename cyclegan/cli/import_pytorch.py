"""`cyclegan import-pytorch`: make a bundle of generators that the PyTorch implementation has trained."""

from pathlib import Path

import click

from cyclegan.cli.options import WholeNumber
from cyclegan.errors import printable
from cyclegan.runtime.startup import import_tensorflow


@click.command("import-pytorch")
@click.option(
    "--ab",
    metavar="FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="Weights of the generator from A to B (G_A).",
)
@click.option(
    "--ba", metavar="FILE", type=click.Path(path_type=Path), help="Weights of the generator from B to A (G_B)."
)
@click.option("--output", metavar="BUNDLE", type=click.Path(path_type=Path), required=True, help="New folder.")
@click.option(
    "--crop-size",
    type=WholeNumber(1),
    metavar="N",
    help="Size in pixels of the crops in training. [256 for 9 or more blocks, 128 for fewer; 2^levels for a unet]",
)
def command(ab: Path, ba: Path | None, output: Path, crop_size: int | None) -> None:
    """Make a bundle of generators that the PyTorch implementation of CycleGAN has trained.

    FILE is a file that this implementation saves, such as latest_net_G_A.pth, or a published one, such as
    horse2zebra.pth. Architecture, width, depth and channels are found in the file. Needs the extra `pytorch`.
    """
    import_tensorflow()
    from cyclegan.bundles.info import Direction
    from cyclegan.interop.pytorch import import_pytorch
    from cyclegan.runtime.devices import device_names

    device_names("cpu")  # an import needs no GPU, and must not take memory from a run
    files: dict[Direction, Path] = {"ab": ab}
    if ba:
        files["ba"] = ba
    click.echo(f"{printable(str(output))}: {import_pytorch(files, output, crop_size)}")
