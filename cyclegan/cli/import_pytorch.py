"""`cyclegan import-pytorch`: a bundle of generators that the PyTorch implementation trained."""

from pathlib import Path

import click

from cyclegan.runtime.startup import import_tensorflow


@click.command("import-pytorch")
@click.option("--ab", metavar="FILE", type=click.Path(path_type=Path), required=True, help="Weights of A to B (G_A).")
@click.option("--ba", metavar="FILE", type=click.Path(path_type=Path), help="Weights of B to A (G_B).")
@click.option("--output", metavar="BUNDLE", type=click.Path(path_type=Path), required=True, help="New folder.")
@click.option(
    "--crop-size",
    type=click.IntRange(1),
    help="Pixels of the crops that they were trained with. [256 from 9 blocks on, else 128; 2^levels of a unet]",
)
def command(ab: Path, ba: Path | None, output: Path, crop_size: int | None) -> None:
    """Make a bundle of generators that the PyTorch implementation of CycleGAN trained.

    The files are those that it saves, such as latest_net_G_A.pth, or the published ones, such as horse2zebra.pth.
    Architecture, width, depth and channels are found out from them. Needs the extra `pytorch`.
    """
    import_tensorflow()
    from cyclegan.bundle import Direction
    from cyclegan.interop.pytorch import import_pytorch

    files: dict[Direction, Path] = {"ab": ab}
    if ba:
        files["ba"] = ba
    click.echo(f"{click.format_filename(output)}: {import_pytorch(files, output, crop_size)}")
