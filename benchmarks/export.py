"""Size, difference and speed of each export of an untrained generator, as a table; needs the extras litert and onnx.

python benchmarks/export.py                     ResNet with 9 blocks and 64 filters, 256 px
python benchmarks/export.py --size 64 --blocks 1 --filters 4
"""

import pathlib
import tempfile

import click

from cyclegan.runtime.startup import import_tensorflow

EXPORTS = [  # format, file, options
    ("keras", "g.keras", {}),
    ("savedmodel", "g", {}),
    ("onnx", "g.onnx", {}),
    ("onnx", "fixed.onnx", {"size": "fixed"}),
    ("litert", "g.tflite", {}),
    ("litert", "fixed.tflite", {"size": "fixed"}),
    ("litert", "float16.tflite", {"size": "fixed", "quantize": "float16"}),
    ("litert", "int8.tflite", {"size": "fixed", "quantize": "int8"}),
]
NUM_CALIBRATION_IMAGES = 20


@click.command()
@click.option("--size", default=256, help="Pixels of a side.")
@click.option("--blocks", default=9, help="Residual blocks.")
@click.option("--filters", default=64, help="Filters.")
def main(size: int, blocks: int, filters: int) -> None:
    """Exports to a temporary folder, all by the same weights."""
    import_tensorflow()
    import keras
    from PIL import Image

    from cyclegan.bundle import bundle_info, load_bundle, save_bundle
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
            # Other scenes than those that the export is compared with.
            Image.fromarray(draw_scene(1, index).plain).save(calibration / f"{index}.png")
        click.echo("| Format | MB | Largest difference | PSNR | Times as fast |\n| --- | ---: | ---: | ---: | ---: |")
        for format_, file, options in EXPORTS:
            options = {**options, "size": (size, size) if options.get("size") else None}
            if options.get("quantize") == "int8":
                options["calibration"] = calibration
            found = export_generator(bundle, "ab", format_, folder / file, **options)
            files = [folder / file, *(folder / file).rglob("*")]
            megabytes = sum(path.stat().st_size for path in files if path.is_file()) / 1e6
            words = [format_, options.get("quantize") or "", f"{size} x {size}" if options["size"] else "any size"]
            psnr = "equal" if found.psnr_db is None else f"{found.psnr_db:.0f} dB"
            click.echo(
                f"| {' '.join(filter(None, words))} | {megabytes:.1f} | {found.largest_difference:.1e} | {psnr} |"
                f" {found.speed_ratio:.2f} |"
            )


if __name__ == "__main__":
    main()
