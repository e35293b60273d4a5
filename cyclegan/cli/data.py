"""`cyclegan data`: list, prepare and check data sets."""

import pathlib
import sys

import click
import rich.console
import rich.progress

from cyclegan.cli.options import data_dir_option
from cyclegan.data.check import check_folder
from cyclegan.data.listing import SPLITS
from cyclegan.data.named import NAMED
from cyclegan.data.sources import default_data_dir, prepare_dataset
from cyclegan.errors import printable


@click.group("data")
def command() -> None:
    """List, prepare and check data sets."""


@command.command("list")
@data_dir_option
def list_datasets(data_dir: pathlib.Path | None) -> None:
    """List the data sets that have a name."""
    data_dir = data_dir or default_data_dir()
    click.echo(f"Data sets in {data_dir}:")
    for name, named in NAMED.items():
        click.echo(f"  {name:<24}{named.origin:<22}{'on disk' if named.is_on_disk(data_dir) else '-'}")


@command.command("prepare")
@click.argument("name")
@data_dir_option
def prepare(name: str, data_dir: pathlib.Path | None) -> None:
    """Draw or download the data set NAME before training needs it."""
    folder = prepare_dataset(name, data_dir or default_data_dir(), lambda line: click.echo(line, err=True))
    click.echo(printable(f"{name} is in {folder}"))


@command.command("check")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=pathlib.Path))
def check(folder: pathlib.Path) -> None:
    """Read every image in DIR and list what is wrong.

    The exit code is 1 if a file is unreadable or truncated. Other findings do not change it.
    """
    console = rich.console.Console(stderr=True)
    with rich.progress.Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("Reading")
        report = check_folder(folder, progress=lambda done, total: bars.update(task, completed=done, total=total))

    for part, count in report.counts.items():
        click.echo(f"{part}: {count} {'image' if count == 1 else 'images'}")
    is_data_set = not report.counts.keys().isdisjoint(SPLITS)
    missing = [part for part in SPLITS[:2] if is_data_set and part not in report.counts]
    for part in missing:
        click.echo(f"{part} is missing, and a training needs it.")
    # The kinds come in the order in which the first of each was found.
    kinds = list(dict.fromkeys(finding.kind for finding in report.findings))
    for kind in kinds:
        findings = [finding for finding in report.findings if finding.kind == kind]
        click.echo(f"\n{kind}: {len(findings)}")
        for finding in findings:
            click.echo(printable(f"  {finding.path.as_posix()}: {finding.reason}"))
    if not (missing or kinds):
        click.echo("No problems were found.")
    if {"unreadable", "truncated"} & set(kinds):
        sys.exit(1)
