"""`cyclegan translate`: translate images with a trained model."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cyclegan.errors import UsageError
from cyclegan.runtime.startup import import_tensorflow

if TYPE_CHECKING:
    from rich.console import Console


class _Size(click.ParamType):
    name = "auto|native|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in ("auto", "native") or isinstance(value, int):
            return value
        if re.fullmatch("[1-9][0-9]*", value):
            return int(value)
        self.fail(f"must be auto, native or a number of pixels. Received: {value}.", param, ctx)


class _Bytes(click.ParamType):
    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kMGT])B?", value)
        if not match or float(match[1]) == 0:
            self.fail(f"must be a number with a unit, such as 800M or 4G. Received: {value}.", param, ctx)
        return float(match[1]) * 1000.0 ** ("kMGT".index(match[2]) + 1)


@click.command("translate")
@click.argument("input", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--model", metavar="RUN|BUNDLE", type=click.Path(path_type=Path), required=True, help="Trained model.")
@click.option("--direction", type=click.Choice(["ab", "ba"]), required=True, help="A to B, or B to A.")
@click.option("--size", type=_Size(), default="auto", help="Shorter side at which the network works. [auto]")
@click.option("--format", "file_format", type=click.Choice(["png", "jpeg", "webp", "same"]), help="Of OUTPUT. [png]")
@click.option("--quality", type=click.IntRange(1, 100), default=95, help="Of JPEG and WebP. [95]")
@click.option("--overwrite", is_flag=True, help="Translate again what is already in OUTPUT.")
@click.option("--strict", is_flag=True, help="Stop at the first image that fails.")
@click.option("--cycle", is_flag=True, help="Also write the way back.")
@click.option("--gallery", is_flag=True, help="Also write OUTPUT/index.html, to look at all images.")
@click.option("--grid", metavar="FILE", type=click.Path(path_type=Path), help="Also write a contact sheet.")
@click.option("--max-pixels", type=click.IntRange(1), metavar="N", help="Refuse larger images. [as in training]")
@click.option("--memory-limit", type=_Bytes(), help="Memory for one image, as 4G. [half of what is free]")
@click.option("--tile", type=click.IntRange(1), metavar="N", help="Translate in strips of N rows. [if it must be]")
@click.option("--batch-size", type=click.IntRange(1), default=4, help="Largest number of images at once. [4]")
@click.option("--devices", metavar="DEVICES", default="auto", help="auto, cpu, cpu:2, gpu or gpu:0,1. [auto]")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", help="ray: on a Ray cluster. [local]")
def command(
    input: tuple[Path, ...],
    output: Path,
    model: Path,
    direction: Literal["ab", "ba"],
    file_format: Literal["png", "jpeg", "webp", "same"] | None,
    strict: bool,
    cycle: bool,
    gallery: bool,
    grid: Path | None,
    devices: str,
    engine: Literal["local", "ray"],
    **options: Any,
) -> None:
    """Translate images: INPUT is a folder, an image, or a pattern as 'photos/**/*.jpg'; OUTPUT a folder.

    Each image comes out in its own size. What is already in OUTPUT is skipped, so the same command continues one that
    was interrupted. OUTPUT/report.json says what became of each image.
    """
    from rich.console import Console

    if engine == "ray" and devices != "auto":
        raise UsageError(
            f"`--engine ray` takes the devices of the cluster: leave out `--devices`. Received: {devices}."
        )
    import_tensorflow()
    from cyclegan.bundle import load_bundle
    from cyclegan.runtime.devices import device_names
    from cyclegan.translation.folder import translate_images
    from cyclegan.translation.settings import Settings

    console = Console(stderr=True)

    def report(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    with _progress(console, report) as progress:
        result = translate_images(
            load_bundle(model),
            input,
            output,
            Settings(direction, **options),
            file_format=file_format,
            cycle=cycle,
            gallery=gallery,
            grid=grid,
            devices=device_names(devices) if engine == "local" else (),
            engine=engine,
            strict=strict,
            report=report,
            progress=progress,
        )
    summary = f"{len(result.translated)} translated to {click.format_filename(output)}"
    if result.skipped:
        summary += f", {len(result.skipped)} were already there"
    if result.failed:
        summary += f", {len(result.failed)} failed"
    click.echo(f"{summary}.")
    if gallery:
        click.echo(f"To look at them, open {click.format_filename(output / 'index.html')}.")
    if result.failed:
        sys.exit(1)


@contextmanager
def _progress(console: "Console", say: Callable[[str], None]) -> Iterator[Callable[[int, int, float], None]]:
    """A bar on a terminal; elsewhere about ten lines."""
    if not console.is_terminal:

        def say_tenths(done: int, total: int, speed: float) -> None:
            if done * 10 // total > (done - 1) * 10 // total:
                say(f"{done}/{total} images, {speed:.3g} images/s")

        yield say_tenths
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(None), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, speed: bar.update(
            task, completed=done, total=total, description=f"{speed:.3g} images/s"
        )
