"""`cyclegan models`: the models that come with the program, and bundles to give to others."""

from pathlib import Path
from typing import Literal

import click

from cyclegan.bundles.info import BundleInfo
from cyclegan.bundles.places import CARD_FILE, INFO_FILE, MODELS, find_bundle, model_names
from cyclegan.cli.options import which_option
from cyclegan.errors import CycleganError, UsageError, printable
from cyclegan.runtime.startup import import_tensorflow


@click.group("models")
def command() -> None:
    """List and show trained models, and pack one for others."""


@command.command("list")
def list_models() -> None:
    """List the models that come with the program."""
    for name in model_names():
        info = BundleInfo.model_validate_json((MODELS / name / INFO_FILE).read_text("utf-8"))
        size = sum((MODELS / name / entry.file).stat().st_size for entry in info.weights.values())
        directions = ", ".join(sorted(info.weights))
        click.echo(
            f"{name:<16}{directions:<8}{info.crop_size:>4} pixels{size / 1e6:>7.1f} MB  `cyclegan models show {name}`"
        )
    if not model_names():
        click.echo("No model comes with this version.", err=True)


@command.command("show")
@click.argument("model")
@which_option
def show(model: str, which: Literal["best", "last"] | None) -> None:
    """Print the card of MODEL, or what its bundle says if it has no card."""
    folder = find_bundle(model, which)
    card = folder / CARD_FILE
    click.echo(printable_lines((card if card.is_file() else folder / INFO_FILE).read_text("utf-8", "replace")))


@command.command("pack")
@click.argument("model")
@click.argument("output", type=click.Path(path_type=Path))
@which_option
@click.option("--name", metavar="NAME", help="Name of the model on its card. [that of OUTPUT]")
@click.option("--notes", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Markdown for the card.")
@click.option(
    "--scores",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Scores for the card, as `cyclegan evaluate --json FILE` writes them.",
)
def pack(
    model: str,
    output: Path,
    which: Literal["best", "last"] | None,
    name: str | None,
    notes: Path | None,
    scores: Path | None,
) -> None:
    """Write the bundle of MODEL to OUTPUT with half the bytes and a card, ready to upload.

    The card says what the bundle knows of itself. Give --notes with what it cannot know: the licence of the training
    images, what the training cost, and what the model cannot do.
    """
    text = _read_notes(notes) if notes else None
    import_tensorflow()
    from cyclegan.bundles.bundle import load_bundle
    from cyclegan.bundles.packing import pack_bundle, read_notes
    from cyclegan.evaluation.scores_file import read_scores

    try:
        found = read_scores(scores) if scores else ()
    except CycleganError as error:
        raise UsageError(f"`--scores` must be a file of `cyclegan evaluate --json`. {error}") from error
    bundle = load_bundle(model, which)
    pack_bundle(bundle, output, name or output.resolve().name, found, text)
    size = sum(path.stat().st_size for path in output.iterdir() if path.is_file())
    click.echo(
        printable(f"{bundle.folder}, step {bundle.info.provenance.step}, is packed in {output}: {size / 1e6:.1f} MB.")
    )
    if not read_notes(output):
        click.echo(f"Its card does not say what licence the training images have: edit {output / CARD_FILE}.")


def _read_notes(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"`--notes` {path} cannot be read: {reason}.") from error


def printable_lines(text: str) -> str:
    """Text of a file that somebody else may have written, without what would control the terminal."""
    return "\n".join(printable(line) for line in text.splitlines())
