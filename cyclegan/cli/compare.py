"""`cyclegan compare`: runs side by side, on a page."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cyclegan.cli.options import WholeNumber, data_dir_option
from cyclegan.errors import CycleganError, printable
from cyclegan.runtime.startup import import_tensorflow

if TYPE_CHECKING:
    from cyclegan.comparison.page import Pictures
    from cyclegan.comparison.runs import Run


@click.command("compare")
@click.argument("runs", metavar="RUN...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("comparison.html"),
    help="The page to write. [comparison.html]",
)
@click.option(
    "--num-images", type=WholeNumber(0, 100), metavar="N", default=6, help="Test images to show, of each domain. [6]"
)
@data_dir_option
def command(runs: tuple[Path, ...], output: Path, num_images: int, data_dir: Path | None) -> None:
    """Show runs side by side on a page: scores, curves, what differs, and translations of the same images.

    The scores are those that the runs made while they trained, and those on test images that `cyclegan evaluate --json
    RUN/scores.json` has written. A warning says which of them must not be compared. Where runs differ by their seed
    alone, the spread over the seeds is shown.
    """
    import_tensorflow()
    from cyclegan.comparison.page import refuse_foreign, write_page
    from cyclegan.comparison.runs import read_runs, warnings

    found = read_runs(runs)
    refuse_foreign(output)
    pictures: Pictures = _pictures(found, num_images, data_dir) if num_images else {}
    try:
        write_page(output, found, pictures)
    except OSError as error:
        raise CycleganError(f"The page {output} cannot be written: {error.strerror}.") from error
    for warning in warnings(found):
        _say(f"Warning: {warning}")
    click.echo(f"To see the runs, open {printable(str(output))}.")


def _say(line: str) -> None:
    click.echo(printable(line), err=True)


def _pictures(runs: list["Run"], number: int, data_dir: Path | None) -> "Pictures":
    """Translations of the test images of the first run. A run without a bundle has black pictures."""
    from cyclegan.comparison.translations import translate_views
    from cyclegan.data.sources import default_data_dir, resolve_source

    try:
        source = resolve_source(runs[0].config.data, data_dir or default_data_dir(), _say)
    except CycleganError as error:
        _say(f"The page shows no translations, because the test images of {runs[0].folder} are not found: {error}")
        return {}
    return translate_views([(run.folder, run.config.data) for run in runs], source, number, _say)
