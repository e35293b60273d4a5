"""`cyclegan app`: a page to try models in a browser."""

import click

from cyclegan.cli.options import WholeNumber
from cyclegan.errors import UsageError
from cyclegan.runtime.startup import import_tensorflow


@click.command("app")
@click.option(
    "--model",
    "models",
    metavar="MODEL",
    multiple=True,
    help="Model to offer, may be repeated: a name, a run, a bundle or hf://owner/name. [those of the program]",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    help="Address to listen at; 0.0.0.0 lets other machines in. [127.0.0.1, this machine alone]",
)
@click.option("--port", type=WholeNumber(1, 65535), metavar="N", help="Port to listen at. [7860, or the next free one]")
@click.option("--open/--no-open", "opens_browser", default=True, help="Open the page in a browser. [--open]")
def command(models: tuple[str, ...], host: str, port: int | None, opens_browser: bool) -> None:
    """Serve a page on which pictures are translated: dropped files, or photos of the camera.

    Nothing leaves the machine, and what was translated is removed when the page ends. Ctrl-C ends it.
    """
    import_tensorflow()
    from cyclegan.app.page import import_gradio, serve
    from cyclegan.bundles.places import model_names

    import_gradio()
    offered = list(dict.fromkeys([*models, *model_names()]))
    if not offered:
        raise UsageError("`--model` must name a model: none comes with the program.")
    if host not in ("127.0.0.1", "localhost", "::1"):
        click.echo(f"Whoever can reach {host} can use this page.", err=True)
    serve(offered, host, port, opens_browser=opens_browser)
