"""Pictures and table of costs for docs/networks.md: a preset's networks with their shapes, the costs of all presets.

python scripts/draw_networks.py docs/images
"""

import pathlib

import click
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from cyclegan.config.files import load_config, preset_names
from cyclegan.runtime.startup import import_tensorflow

COLOURS = {"first": "#8fb8de", "down": "#8fb8de", "residual": "#c9c9c9", "up": "#9fd3a8", "last": "#9fd3a8"}
SCALE = 2
"""Pixels of the picture for each unit of the drawing."""


@click.command()
@click.argument("folder", type=click.Path(path_type=pathlib.Path))
@click.option("--preset", default="horse2zebra", help="Whose networks are drawn.")
def main(folder: pathlib.Path, preset: str) -> None:
    """Write generator.png and discriminator.png to FOLDER and print the table of costs."""
    import_tensorflow()
    import keras

    from cyclegan.networks.complexity import multiply_adds
    from cyclegan.networks.discriminators import build_discriminator
    from cyclegan.networks.generators import build_generator

    config = load_config(preset)
    size = config.data.crop_size
    for name, network in (
        ("generator", build_generator(config.generator)),
        ("discriminator", build_discriminator(config.discriminator)),
    ):
        layers = [layer for layer in network.layers if layer.weights]
        outputs = keras.Model(network.input, [layer.output for layer in layers])(
            np.zeros((1, size, size, 3), "float32")
        )
        shapes = [("image", (size, size, 3))]
        for layer, output in zip(layers, outputs, strict=True):
            height, width, channels = output.shape[1:]
            # What a transposed convolution makes is cropped to twice its input.
            crop = layer.name.startswith("up_")
            shapes.append((layer.name, (height - crop, width - crop, channels)))
        draw(shapes).save(folder / f"{name}.png")

    click.echo("| Preset | Pixels | Generator | GMAC | Discriminator | GMAC |")
    click.echo("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in preset_names():
        config = load_config(name)
        size = config.data.crop_size
        cells = [name, str(size)]
        for network in (build_generator(config.generator), build_discriminator(config.discriminator)):
            cells += [f"{network.count_params():,}", f"{multiply_adds(network, size, size) / 1e9:.3g}"]
        click.echo(f"| {' | '.join(cells)} |")


def draw(shapes: list[tuple[str, tuple[int, int, int]]]) -> PIL.Image.Image:
    """A row of boxes: as high as the image at that place, as wide as its channels are many; equal neighbours as one."""
    boxes: list[tuple[str, tuple[int, int, int], int]] = []
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
