"""`cyclegan export`: write a trained generator for another program."""

from pathlib import Path
from typing import Any, Literal

import click

from cyclegan.cli.options import direction_option, model_option, which_option
from cyclegan.errors import UsageError, printable
from cyclegan.export.formats import FORMATS
from cyclegan.runtime.startup import import_tensorflow

_FORMATS = "\n".join(f"{name:<10}  {entry.summary}" for name, entry in FORMATS.items())
_QUANTIZATIONS = list(dict.fromkeys(value for entry in FORMATS.values() for value in entry.quantizations))
_QUANTIZED = " and ".join(name for name, entry in FORMATS.items() if entry.quantizations)
_HELP = f"""Write a trained generator for another program, compare it with Keras, and report the result in PATH.json.

\b
{_FORMATS}

An export is not kept if it differs by more than 1e-4 on the scale from -1 to 1, unless it is quantized.
"""


def _parse_export_size(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, int] | Literal["dynamic"] | None:
    if text is None or text == "dynamic":
        return text  # type: ignore[return-value] # mypy does not narrow `str` to a literal
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise UsageError(f"`--size` must be N, HEIGHTxWIDTH or dynamic. Received: {text}.")
    return int(sides[0]), int(sides[-1])


@click.command("export", help=_HELP)
@model_option
@which_option
@direction_option
@click.option("--format", "format_", type=click.Choice(list(FORMATS)), required=True, help="Format; see above.")
@click.option(
    "--output", metavar="PATH", type=click.Path(path_type=Path), required=True, help="File or folder to create."
)
@click.option(
    "--size",
    metavar="N|HxW|dynamic",
    callback=_parse_export_size,
    help="Size of the images in pixels. [dynamic if the format can do it]",
)
@click.option(
    "--quantize", type=click.Choice(_QUANTIZATIONS), help=f"Store numbers with fewer bits (only {_QUANTIZED})."
)
@click.option(
    "--calibration", metavar="FOLDER", type=click.Path(path_type=Path), help="For int8: images to take ranges from."
)
@click.option(
    "--images", metavar="FOLDER", type=click.Path(path_type=Path), help="Images for the comparison. [drawn scenes]"
)
def command(
    model: str,
    which: Literal["best", "last"] | None,
    direction: Literal["ab", "ba"],
    format_: str,
    output: Path,
    **options: Any,
) -> None:
    """Writes a generator, and prints where it is and the result of the comparison."""
    import_tensorflow()
    from cyclegan.bundles.bundle import load_bundle
    from cyclegan.export.export import export_generator
    from cyclegan.runtime.devices import device_names

    device_names("cpu")  # an export needs no GPU, and must not take memory from a run
    bundle = load_bundle(model, which)
    found = export_generator(bundle, direction, format_, output, **options)
    click.echo(f"{printable(str(output))}: generator {direction} of {printable(str(bundle.folder))}")
    if found:
        psnr = "equal in every bit" if found.psnr_db is None else f"PSNR {found.psnr_db:.1f} dB"
        click.echo(
            f"{found.runtime} {found.runtime_version} beside Keras: largest difference {found.largest_difference:.2g},"
            f" {psnr}, {found.speed_ratio:.2f} times as fast"
        )
