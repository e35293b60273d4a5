"""Exports an untrained generator, and prints the size, difference and speed of each export as a table.

The extras `litert` and `onnx` must be installed.

    python benchmarks/export.py                     ResNet with 9 blocks and 64 filters, 256 px
    python benchmarks/export.py --size 64 --blocks 1 --filters 4
"""

import json
import pathlib
import tempfile
from typing import NamedTuple

import click

from cyclegan.export.conversion import Quantization
from cyclegan.runtime.startup import import_tensorflow


class Export(NamedTuple):
    """A row of the table."""

    format_: str
    file: str
    is_fixed: bool = False
    quantize: Quantization | None = None


EXPORTS = [
    Export("keras", "g.keras"),
    Export("savedmodel", "g"),
    Export("onnx", "g.onnx"),
    Export("onnx", "fixed.onnx", is_fixed=True),
    Export("litert", "g.tflite"),
    Export("litert", "fixed.tflite", is_fixed=True),
    Export("litert", "float16.tflite", is_fixed=True, quantize="float16"),
    Export("litert", "int8.tflite", is_fixed=True, quantize="int8"),
]
NUM_CALIBRATION_IMAGES = 20


@click.command()
@click.option("--size", default=256, help="Height and width of the images in pixels.")
@click.option("--blocks", default=9, help="Number of residual blocks.")
@click.option("--filters", default=64, help="Number of filters.")
def main(size: int, blocks: int, filters: int) -> None:
    """Export the same weights to every format, in a temporary folder, and print a table."""
    import_tensorflow()
    import keras
    from PIL import Image

    from cyclegan.bundles.bundle import load_bundle, save_bundle
    from cyclegan.bundles.info import bundle_info
    from cyclegan.config.files import load_config
    from cyclegan.data.scenes import draw_scene
    from cyclegan.export.export import export_generator
    from cyclegan.networks.generators import build_generator

    keys = {
        "generator.num_blocks": blocks,
        "generator.filters": filters,
        "data.load_size": size,
        "data.crop_size": size,
    }
    config = load_config(None, list(keys.items()))
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        save_bundle(folder / "bundle", {"ab": build_generator(config.generator)}, bundle_info(config, step=0))
        bundle = load_bundle(folder / "bundle")
        calibration = folder / "calibration"
        calibration.mkdir()
        for index in range(NUM_CALIBRATION_IMAGES):
            # The export is compared with other scenes than these.
            Image.fromarray(draw_scene(1, index).plain).save(calibration / f"{index}.png")
        click.echo("| Format | MB | Largest difference | PSNR | Times as fast |\n| --- | ---: | ---: | ---: | ---: |")
        for export in EXPORTS:
            output = folder / export.file
            found = export_generator(
                bundle,
                "ab",
                export.format_,
                output,
                size=(size, size) if export.is_fixed else None,
                quantize=export.quantize,
                calibration=calibration if export.quantize == "int8" else None,
            )
            assert found, export.format_
            megabytes = json.loads(pathlib.Path(f"{output}.json").read_text())["file_bytes"] / 1e6
            words = [export.format_, export.quantize or "", f"{size} x {size}" if export.is_fixed else "any size"]
            psnr = "equal" if found.psnr_db is None else f"{found.psnr_db:.0f} dB"
            click.echo(
                f"| {' '.join(filter(None, words))} | {megabytes:.1f} | {found.largest_difference:.1e} | {psnr} |"
                f" {found.speed_ratio:.2f} |"
            )


if __name__ == "__main__":
    main()
