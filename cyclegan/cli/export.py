"""`cyclegan export`: write a trained generator for another program."""

from pathlib import Path
from typing import Any, Literal

import click

from cyclegan.errors import UsageError
from cyclegan.runtime.startup import import_tensorflow

FORMATS = ["keras", "savedmodel", "litert", "onnx", "pytorch"]


def _parse_size(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, int] | Literal["dynamic"] | None:
    if text is None or text == "dynamic":
        return text  # type: ignore[return-value] # mypy takes it for any text
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise UsageError(f"`--size` must be N, HEIGHTxWIDTH or dynamic. Received: {text}.")
    return int(sides[0]), int(sides[-1])


@click.command("export")
@click.option("--model", metavar="RUN|BUNDLE", type=click.Path(path_type=Path), required=True, help="Trained model.")
@click.option("--direction", type=click.Choice(["ab", "ba"]), required=True, help="A to B, or B to A.")
@click.option("--format", "format_", type=click.Choice(FORMATS), required=True, help="For which program.")
@click.option("--output", metavar="PATH", type=click.Path(path_type=Path), required=True, help="New file or folder.")
@click.option("--size", metavar="N|HxW|dynamic", callback=_parse_size, help="Pixels. [dynamic where it can be]")
@click.option("--quantize", type=click.Choice(["float16", "int8"]), help="For litert: smaller numbers inside.")
@click.option("--calibration", metavar="FOLDER", type=click.Path(path_type=Path), help="Images to quantize int8 by.")
@click.option("--images", metavar="FOLDER", type=click.Path(path_type=Path), help="To compare with. [drawn scenes]")
def command(
    model: Path,
    direction: Literal["ab", "ba"],
    format_: Literal["keras", "savedmodel", "litert", "onnx", "pytorch"],
    output: Path,
    **options: Any,
) -> None:
    """Write a trained generator for another program, compare it with Keras, and say what came of it in PATH.json.

    \b
    keras       file for keras.saving.load_model (.keras)
    savedmodel  folder for TensorFlow and TensorFlow Serving; takes 8-bit and encoded images too
    litert      file for phones and small devices (.tflite); needs the extra `litert`
    onnx        file for ONNX Runtime, browsers included (.onnx); needs the extra `onnx`
    pytorch     state_dict of the PyTorch implementation, not compared; needs the extra `pytorch`

    Nothing is kept that differs by more than 1e-4 on the scale from -1 to 1, unless it is quantized.
    """  # noqa: D301 - \b keeps the lines
    if format_ == "pytorch":
        for name, value in options.items():
            if value is not None:
                raise UsageError(f"`--{name}` is not for --format pytorch. Leave it out.")
    import_tensorflow()
    from cyclegan.bundle import load_bundle

    bundle = load_bundle(model)
    line = f"{click.format_filename(output)}: generator {direction} of {click.format_filename(model)}"
    if format_ == "pytorch":
        from cyclegan.interop.pytorch import export_pytorch

        export_pytorch(bundle, direction, output)
        click.echo(line)
        return

    from cyclegan.export.export import export_generator

    found = export_generator(bundle, direction, format_, output, **options)
    psnr = "equal in every bit" if found.psnr_db is None else f"PSNR {found.psnr_db:.1f} dB"
    click.echo(line)
    click.echo(
        f"{found.runtime} {found.runtime_version} beside Keras: largest difference {found.largest_difference:.2g},"
        f" {psnr}, {found.speed_ratio:.2f} times as fast"
    )
