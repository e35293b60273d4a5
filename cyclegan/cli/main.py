"""The command `cyclegan`, which loads its subcommands and turns errors into one line and an exit code."""

import difflib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from cyclegan.cli.exit_codes import INTERRUPTED, TERMINATED
from cyclegan.errors import CycleganError, printable

# The module of a command is imported when the command is used, so that `cyclegan --help` does not wait for it.
COMMANDS = {
    "train": "Train a model, or continue a run.",
    "translate": "Translate a folder of images with a trained model.",
    "evaluate": "Score translations, or images that any program made.",
    "compare": "Show runs side by side on a page.",
    "export": "Export a trained generator for use in other programs.",
    "import-pytorch": "Import generators that were trained with PyTorch.",
    "distill": "Train small generators that imitate large ones.",
    "models": "List and show trained models, and pack one for others.",
    "app": "Try models on a page in a browser.",
    "data": "List, prepare and check data sets.",
    "version": "Show versions and devices for bug reports.",
}


class _Terminated(BaseException):
    """SIGTERM has been received."""


class _Commands(click.Group):
    def main(self, *args: Any, **options: Any) -> Any:
        _open_closed_outputs()
        return super().main(*args, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"cyclegan.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            nearest = difflib.get_close_matches(args[0], COMMANDS, n=1)
            question = f" Did you mean '{nearest[0]}'?" if nearest else ""
            raise click.UsageError(error.format_message() + question, ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _terminable():
                return super().invoke(ctx)
        except CycleganError as error:
            if ctx.params["debug"]:
                traceback.print_exc()
            click.echo(f"Error: {printable(str(error))}", err=True)
            ctx.exit(error.exit_code)
        except click.UsageError as error:
            where = error.ctx.command_path if error.ctx else ctx.command_path
            text = printable(" ".join(error.format_message().split()))
            click.echo(f"Error: {text} See `{where} --help`.", err=True)
            ctx.exit(error.exit_code)
        except MemoryError:
            if ctx.params["debug"]:
                traceback.print_exc()
            click.echo("Error: Out of memory. What was written before is kept.", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except _Terminated:
            click.echo("Terminated.", err=True)
            ctx.exit(TERMINATED)


def _open_closed_outputs() -> None:
    """Sends what would go to an output that the caller has closed, as by `>&-`, to nowhere.

    Otherwise the next file that is opened would take its number, and what TensorFlow prints would go into that file.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_WRONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the work like Ctrl-C, so that it leaves no temporary files. The second one ends the process at once.

    A command that handles the signal itself, as `train` does, replaces this.
    """

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise _Terminated

    try:
        old = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # signals can be handled in the main thread only
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Unpaired image-to-image translation with CycleGAN."""
