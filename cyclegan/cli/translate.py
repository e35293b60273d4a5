"""`cyclegan translate`: translate a folder of images with a trained model."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cyclegan.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from rich.console import Console


@click.command("translate")
@click.argument("input", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--model", metavar="RUN|BUNDLE", type=click.Path(path_type=Path), required=True, help="Trained model.")
@click.option("--direction", type=click.Choice(["ab", "ba"]), required=True, help="A to B, or B to A.")
@click.option("--overwrite", is_flag=True, help="Translate again what is already in OUTPUT.")
def command(input: Path, output: Path, model: Path, direction: Literal["ab", "ba"], overwrite: bool) -> None:
    """Translate all images of the folder INPUT, or the image INPUT, to PNG files of the same size in OUTPUT.

    What is already in OUTPUT is skipped, so the same command continues one that was interrupted.
    """
    from rich.console import Console

    import_tensorflow()
    from cyclegan.inference.batch import translate_folder
    from cyclegan.networks.bundle import load_bundle

    console = Console(stderr=True)

    def report(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    with _progress(console, report) as progress:
        result = translate_folder(
            load_bundle(model),
            direction,
            input,
            output,
            overwrite=overwrite,
            report=report,
            progress=progress,
        )
    summary = f"{result.num_translated} translated to {click.format_filename(output)}"
    if result.num_skipped:
        summary += f", {result.num_skipped} were already there"
    if result.failed:
        summary += f", {len(result.failed)} failed"
    click.echo(f"{summary}.")
    if result.failed:
        sys.exit(1)


@contextmanager
def _progress(console: "Console", say: Callable[[str], None]) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; elsewhere about ten lines."""
    if not console.is_terminal:

        def say_tenths(done: int, total: int) -> None:
            if done * 10 // total > (done - 1) * 10 // total:
                say(f"{done}/{total} images")

        yield say_tenths
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
