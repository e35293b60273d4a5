"""The page: pictures in, translations under a slider out. Nothing leaves the machine."""

import html
import os
import pathlib
import socket
import tempfile
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cyclegan.app.pictures import Shown, translate_pictures
from cyclegan.bundles.bundle import Bundle, load_bundle
from cyclegan.bundles.hub import SCHEME
from cyclegan.bundles.places import find_bundle
from cyclegan.errors import CycleganError, UsageError, printable
from cyclegan.runtime.devices import device_names

if TYPE_CHECKING:
    import gradio

TITLE = "cyclegan"

MAX_UPLOAD = "200mb"
"""A file that is larger is refused before it fills the disk."""

Pair = tuple[str, str]
"""The paths of two pictures of one size, which a slider shows one above the other."""


def import_gradio() -> Any:
    """Imports Gradio without anything that it would send to anybody.

    Raises:
        UsageError: if the extra is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import gradio
    except ImportError as error:
        raise UsageError("The page needs the extra `app`: pip install 'cyclegan[app]'") from error
    return gradio


def serve(models: Sequence[str], host: str, port: int | None, *, opens_browser: bool) -> None:
    """Serves the page until the process is interrupted.

    What people give to it is removed when it ends.

    Args:
        models: what `load_bundle` takes, in the order in which the page offers them; at least one.
        host: the address to listen at. "127.0.0.1" can be reached from this machine alone.
        port: the port to listen at; None means the first free one from 7860 on.
        opens_browser: whether a browser of this machine opens the page.

    Raises:
        UsageError: if a model does not exist, if the extra is not installed, or if the address cannot be used.
    """
    _refuse_foreign_host(host)
    for model in models:
        load_bundle(model)
    with tempfile.TemporaryDirectory(prefix="cyclegan-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        page = build_page(models, pathlib.Path(folder))
        try:
            launch(page, host, port, opens_browser=opens_browser)
        finally:
            page.close()


def launch(page: "gradio.Blocks", host: str, port: int | None, *, opens_browser: bool) -> None:
    """Starts the server, and waits until the process is interrupted.

    The arguments are those of `serve`.

    Raises:
        UsageError: if the address cannot be used.
    """
    gradio = import_gradio()
    try:
        _, address, _ = page.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=port,
            inbrowser=opens_browser,
            max_file_size=MAX_UPLOAD,
            share=False,
            quiet=True,
            show_error=True,
            ssr_mode=False,
            enable_monitoring=False,
            footer_links=[],
            prevent_thread_lock=True,
            # The fonts of the other themes come from the servers of Google.
            theme=gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        )
    except OSError as error:
        raise UsageError(f"The page cannot be served at {host}, port {port or '7860 to 7959'}: {error}") from error
    print(f"The page is at {address} Ctrl-C ends it.", flush=True)
    threading.Event().wait()  # Gradio's own way ends without an exit code


def _refuse_foreign_host(host: str) -> None:
    """Refuses an address that is not of this machine, at which Gradio would try one port after the other.

    Raises:
        UsageError: naming what is allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except OSError as error:
        raise UsageError(
            "`--host` must be an address of this machine: 127.0.0.1 for this machine alone, or 0.0.0.0 for all that can"
            f" reach it. Received: {host}: {error.strerror or error}."
        ) from error


def build_page(models: Sequence[str], folder: pathlib.Path) -> "gradio.Blocks":
    """Builds the page.

    Args:
        models: see `serve`.
        folder: a folder for what is made of the pictures.
    """
    gradio = import_gradio()
    devices = device_names()
    places = _places(models)

    def translate(model: str, direction: str, files: list[str] | None, photo: str | None) -> tuple[Any, ...]:
        pictures = [pathlib.Path(path) for path in [*(files or []), *([photo] if photo else [])]]
        if not pictures:
            raise gradio.Error("There is no picture yet. Drop one, or take one with the camera.", print_exception=False)
        try:
            # A run that is still training replaces its bundle, so it is read each time.
            shown = _translated(load_bundle(places[model]), direction, pictures, folder, devices)
        except CycleganError as error:
            raise gradio.Error(html.escape(printable(str(error))), print_exception=False) from error
        if not shown.entries:
            raise gradio.Error(html.escape(printable(" ".join(shown.lines))), print_exception=False)
        pairs = [(_pair(entry.input, entry.output), _pair(entry.input, entry.cycled)) for entry in shown.entries]
        thumbnails = [(str(entry.output), entry.name) for entry in shown.entries]
        gallery = gradio.Gallery(thumbnails, visible=len(pairs) > 1)
        messages = gradio.Textbox("\n".join(map(printable, shown.lines)), visible=bool(shown.lines))
        return *pairs[0], gallery, [str(path) for path in shown.files], messages, pairs

    def choose(pairs: list[tuple[Pair, Pair]], event: Any) -> tuple[Pair, Pair]:
        return pairs[int(event.index)]

    choose.__annotations__["event"] = gradio.SelectData  # this is how Gradio knows what to pass

    with gradio.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        pairs = gradio.State([])
        with gradio.Row():
            with gradio.Column(scale=1):
                model = gradio.Dropdown(list(models), value=models[0], label="Model")
                direction = gradio.Radio(
                    [("A to B", "ab"), ("B to A", "ba")],
                    value="ab",
                    label="Direction",
                    info=_domains(places[models[0]]),
                )
                files = gradio.File(label="Pictures", file_count="multiple", type="filepath", height=140)
                with gradio.Accordion("Camera", open=False):
                    photo = gradio.Image(sources=["webcam"], type="filepath", format="png", show_label=False)
                button = gradio.Button("Translate", variant="primary")
            with gradio.Column(scale=2):
                translation = gradio.ImageSlider(label="Input and translation", type="filepath", interactive=False)
                gallery = gradio.Gallery(
                    label="Translations", visible=False, columns=6, height=160, allow_preview=False, buttons=[]
                )
                messages = gradio.Textbox(label="Messages", visible=False, interactive=False)
                download = gradio.File(label="Download", interactive=False)
                with gradio.Accordion("The way back", open=False):
                    way_back = gradio.ImageSlider(label="Input and way back", type="filepath", interactive=False)
        button.click(
            translate,
            [model, direction, files, photo],
            [translation, way_back, gallery, download, messages, pairs],
            api_name="translate",
        )
        gallery.select(choose, [pairs], [translation, way_back], api_name=False)
        model.change(lambda name: gradio.Radio(info=_domains(places[name])), [model], [direction], api_name=False)
    return page


def _places(models: Sequence[str]) -> dict[str, str | pathlib.Path]:
    """What `load_bundle` takes for each model. The hub is asked only here, so no click makes a request."""
    return {model: find_bundle(model) if model.startswith(SCHEME) else model for model in models}


def _translated(
    bundle: Bundle,
    direction: Any,
    pictures: Sequence[pathlib.Path],
    folder: pathlib.Path,
    devices: Sequence[str],
) -> Shown:
    try:
        place = pathlib.Path(tempfile.mkdtemp(dir=folder))
    except OSError as error:
        raise CycleganError(f"The pictures cannot be kept in {folder}: {error.strerror}.") from error
    return translate_pictures(bundle, direction, pictures, place, devices)


def _pair(one: pathlib.Path, other: pathlib.Path | None) -> Pair:
    assert other
    return str(one), str(other)


def _domains(model: str | pathlib.Path) -> str:
    """What is known of the domains of a model, as Markdown, in which Gradio has escaped all HTML."""
    info = load_bundle(model).info
    dataset = printable(info.provenance.dataset).translate(dict.fromkeys(map(ord, "[]*`~")))
    return f"Trained on {dataset}, {info.provenance.step:,} steps at {info.crop_size} pixels."
