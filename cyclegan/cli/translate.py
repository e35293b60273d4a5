"""`cyclegan translate`: translate images with a trained model."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cyclegan.cli.options import WholeNumber, devices_option, direction_option, model_option, which_option
from cyclegan.errors import UsageError, printable
from cyclegan.runtime.startup import import_tensorflow

if TYPE_CHECKING:
    from rich.console import Console


def _parse_size(context: click.Context, parameter: click.Parameter, text: str) -> int | str:
    if text in ("auto", "native"):
        return text
    if re.fullmatch("[1-9][0-9]*", text):
        return int(text)
    raise click.BadParameter(f"must be auto, native or a number of pixels. Received: {text}.")


def _parse_bytes(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kMGT])B?", text)
    if not match or float(match[1]) == 0:
        raise click.BadParameter(f"must be a number with a unit, such as 800M or 4G. Received: {text}.")
    return float(match[1]) * 1000.0 ** ("kMGT".index(match[2]) + 1)


@click.command("translate")
@click.argument("input", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.argument("output", type=click.Path(path_type=Path))
@model_option
@which_option
@direction_option
@click.option(
    "--size",
    metavar="auto|native|N",
    default="auto",
    callback=_parse_size,
    help="Length in pixels of the shorter side at which the network works. [auto]",
)
@click.option(
    "--format", "file_format", type=click.Choice(["png", "jpeg", "webp", "same"]), help="Format of the output. [png]"
)
@click.option(
    "--quality", type=WholeNumber(1, 100), metavar="N", default=95, help="Quality of JPEG and WebP files. [95]"
)
@click.option("--overwrite", is_flag=True, help="Translate images again if their files exist in OUTPUT.")
@click.option("--strict", is_flag=True, help="Stop at the first image that fails.")
@click.option("--cycle", is_flag=True, help="Also translate each translation back.")
@click.option("--gallery", is_flag=True, help="Also write OUTPUT/index.html, a page that shows all images.")
@click.option("--grid", metavar="FILE", type=click.Path(path_type=Path), help="Also write a contact sheet to FILE.")
@click.option(
    "--max-pixels",
    type=WholeNumber(1),
    metavar="N",
    help="Refuse images with more than N pixels. [the limit used in training]",
)
@click.option(
    "--memory-limit",
    metavar="SIZE",
    callback=_parse_bytes,
    help="Memory that one image may take, such as 4G. [half of the free memory]",
)
@click.option(
    "--tile",
    type=WholeNumber(1),
    metavar="N",
    help="Translate in strips of N rows. [only images that exceed the memory limit]",
)
@click.option(
    "--batch-size",
    type=WholeNumber(1),
    metavar="N",
    default=4,
    help="Largest number of images to translate at once. [4]",
)
@devices_option
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    help="local: work on this machine; ray: on a Ray cluster. [local]",
)
def command(
    input: tuple[Path, ...],
    output: Path,
    model: str,
    which: Literal["best", "last"] | None,
    direction: Literal["ab", "ba"],
    devices: str | None,
    engine: Literal["local", "ray"],
    file_format: Literal["png", "jpeg", "webp", "same"] | None,
    strict: bool,
    cycle: bool,
    gallery: bool,
    grid: Path | None,
    **settings: Any,
) -> None:
    """Translate images with a trained model.

    INPUT is a folder, an image, or a pattern such as 'photos/**/*.jpg'; several are allowed. OUTPUT is a folder. For
    one image it may also be a file.

    Each translation has the size of its image. Images whose files exist in OUTPUT are skipped, so the same command
    continues one that was interrupted. OUTPUT/report.json says what became of each image.
    """
    devices = devices or "auto"
    if engine == "ray" and devices != "auto":
        raise UsageError(
            f"`--engine ray` uses the devices of the cluster. Leave out `--devices`. Received: --devices {devices}."
        )
    import_tensorflow()
    from rich.console import Console

    from cyclegan.bundles.bundle import load_bundle
    from cyclegan.runtime.devices import device_names
    from cyclegan.translation.folder import translate_images
    from cyclegan.translation.settings import Settings

    names = device_names(devices if engine == "local" else "cpu")  # the GPUs are for the processes of Ray
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    bundle = load_bundle(model, which)
    if not which and bundle.folder != Path(model) and bundle.folder.name == "best":
        say(f"The model is {bundle.folder}, step {bundle.info.provenance.step}. --which last takes the newest one.")
    with _progress(console, say) as progress:
        report = translate_images(
            bundle,
            input,
            output,
            Settings(direction, **settings),
            file_format=file_format,
            cycle=cycle,
            gallery=gallery,
            grid=grid,
            devices=names,
            engine=engine,
            strict=strict,
            say=say,
            progress=progress,
        )
    click.echo(_summary(len(report.translated), len(report.skipped), len(report.failed), output))
    if gallery:
        click.echo(f"To see the images, open {printable(str(output / 'index.html'))}.")
    if report.failed:
        sys.exit(1)


def _summary(num_translated: int, num_skipped: int, num_failed: int, output: Path) -> str:
    summary = f"Images translated to {printable(str(output))}: {num_translated}."
    if num_skipped:
        summary += f" Skipped, because their files exist: {num_skipped}."
    if num_failed:
        summary += f" Failed: {num_failed}."
    return summary


@contextmanager
def _progress(console: "Console", say: Callable[[str], None]) -> Iterator[Callable[[int, int, int, float], None]]:
    """A bar on a terminal; elsewhere about ten lines."""
    if not console.is_terminal:

        def say_tenths(translated: int, failed: int, total: int, speed: float) -> None:
            done = translated + failed
            if done * 10 // total > (done - 1) * 10 // total:
                say(_state(translated, failed, total, speed))

        yield say_tenths
        return

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        BarColumn(None), TextColumn("{task.description}"), TimeRemainingColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda translated, failed, total, speed: bar.update(
            task, completed=translated + failed, total=total, description=_state(translated, failed, total, speed)
        )


def _state(translated: int, failed: int, total: int, speed: float) -> str:
    """How far the work is. The speed is known after the first translation."""
    parts = [f"{translated}/{total} image{'' if total == 1 else 's'}"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{speed:.3g} images/s"] if translated else []
    return ", ".join(parts)
