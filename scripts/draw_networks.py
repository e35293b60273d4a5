"""Makes the pictures of the networks and the table of costs in docs/networks.md.

python scripts/draw_networks.py docs/images
"""

import pathlib
from typing import TYPE_CHECKING

import click
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from cyclegan.config.files import load_config, preset_names
from cyclegan.runtime.startup import import_tensorflow

if TYPE_CHECKING:
    import keras

COLOURS = {"first": "#8fb8de", "down": "#8fb8de", "residual": "#c9c9c9", "up": "#9fd3a8", "last": "#9fd3a8"}
SCALE = 2
"""Pixels of the picture for one unit of the drawing."""

Shape = tuple[int, int, int]
"""Height, width and channels."""


@click.command()
@click.argument("folder", type=click.Path(path_type=pathlib.Path))
@click.option("--preset", default="horse2zebra", help="Preset whose networks are drawn.")
def main(folder: pathlib.Path, preset: str) -> None:
    """Write generator.png and discriminator.png to FOLDER and print the cost of all presets as a table."""
    import_tensorflow()
    from cyclegan.networks.complexity import multiply_adds
    from cyclegan.networks.discriminators import build_discriminator
    from cyclegan.networks.generators import build_generator

    config = load_config(preset)
    size = config.data.crop_size
    draw(shapes_in(build_generator(config.generator), size)).save(folder / "generator.png")
    draw(shapes_in(build_discriminator(config.discriminator), size)).save(folder / "discriminator.png")

    click.echo("| Preset | Pixels | Generator | GMAC | Discriminator | GMAC |")
    click.echo("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in preset_names():
        config = load_config(name)
        size = config.data.crop_size
        cells = [name, str(size)]
        for network in (build_generator(config.generator), build_discriminator(config.discriminator)):
            cells += [f"{network.count_params():,}", f"{multiply_adds(network, size, size) / 1e9:.3g}"]
        click.echo(f"| {' | '.join(cells)} |")


def shapes_in(network: "keras.Model", size: int) -> list[tuple[str, Shape]]:
    """The shape of the image, and the name and output shape of each layer with weights, for an image of this size."""
    import keras

    layers = [layer for layer in network.layers if layer.weights]
    outputs = keras.Model(network.input, [layer.output for layer in layers])(np.zeros((1, size, size, 3), "float32"))
    shapes = [("image", (size, size, 3))]
    for layer, output in zip(layers, outputs, strict=True):
        height, width, channels = output.shape[1:]
        # The output of a transposed convolution is cropped to twice the size of its input.
        crop = layer.name.startswith("up_")
        shapes.append((layer.name, (height - crop, width - crop, channels)))
    return shapes


def draw(shapes: list[tuple[str, Shape]]) -> PIL.Image.Image:
    """A row of boxes, one for each feature map. The residual blocks, which have equal maps, share one box.

    A box is high where the map is high, and wide where the map has many channels.
    """
    boxes: list[tuple[str, Shape, int]] = []
    for name, shape in shapes:
        kind = name.split("_")[0]
        if kind == "residual" and boxes and boxes[-1][0].startswith("residual"):
            boxes[-1] = (boxes[-1][0], shape, boxes[-1][2] + 1)
        else:
            boxes.append((name, shape, 1))
    font = PIL.ImageFont.load_default(size=11 * SCALE)
    step, middle = 92 * SCALE, 115 * SCALE
    picture = PIL.Image.new("RGB", (step * len(boxes) + 10 * SCALE, 270 * SCALE), "white")
    pen = PIL.ImageDraw.Draw(picture)
    for index, (name, (height, width, channels), count) in enumerate(boxes):
        centre = int((index + 0.5) * step)
        half_height = SCALE * (12 + 80 * (height / shapes[0][1][0]) ** 0.5)
        half_width = SCALE * (6 + 30 * min(channels, 512) / 512)
        left, right = centre - half_width, centre + half_width
        if index:
            pen.line([centre - step / 2 - 6 * SCALE, middle, centre - step / 2 + 6 * SCALE, middle], "black", SCALE)
        colour = COLOURS.get(name.split("_")[0], "#f2d49b")
        pen.rectangle([left, middle - half_height, right, middle + half_height], colour, "black", SCALE)
        label = f"{count // 2} residual\nblocks" if count > 1 else name.replace("_conv", "").replace("_", " ")
        text = f"{label}\n{height} x {width}\n{channels} ch."
        pen.multiline_text((centre, 215 * SCALE), text, "black", font, anchor="ma", align="center")
    return picture


if __name__ == "__main__":
    main()
