"""The page: pictures in, translations under a slider out. Nothing leaves the machine."""

import functools
import os
import pathlib
import tempfile
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cyclegan.app.pictures import Shown, translate_pictures
from cyclegan.bundles.bundle import Bundle, load_bundle
from cyclegan.errors import CycleganError, UsageError, printable

if TYPE_CHECKING:
    import gradio

TITLE = "cyclegan"

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


def serve(models: Sequence[str], host: str, port: int | None, *, is_opened: bool) -> None:
    """Serves the page until the process is interrupted.

    What people give to it is removed when it ends.

    Args:
        models: what `load_bundle` takes, in the order in which the page offers them; at least one.
        host: the address to listen at. "127.0.0.1" can be reached from this machine alone.
        port: the port to listen at; None means the first free one from 7860 on.
        is_opened: whether a browser of this machine opens the page.

    Raises:
        UsageError: if a model does not exist, if the extra is not installed, or if the address cannot be used.
    """
    for model in models:
        load_bundle(model)
    with tempfile.TemporaryDirectory(prefix="cyclegan-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        page = build_page(models, pathlib.Path(folder))
        try:
            launch(page, host, port, is_opened=is_opened)
        finally:
            page.close()


def launch(page: "gradio.Blocks", host: str, port: int | None, *, is_opened: bool, is_waiting: bool = True) -> str:
    """Starts the server, and waits until the process is interrupted if `is_waiting`. Returns the address of the page.

    The arguments are those of `serve`.

    Raises:
        UsageError: if the address cannot be used.
    """
    gradio = import_gradio()
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            inbrowser=is_opened,
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
    if is_waiting:
        print(f"The page is at {address} Ctrl-C ends it.", flush=True)
        threading.Event().wait()  # Gradio's own way ends without an exit code
    return str(address)


def build_page(models: Sequence[str], folder: pathlib.Path) -> "gradio.Blocks":
    """Builds the page.

    Args:
        models: see `serve`.
        folder: a folder for what is made of the pictures.
    """
    gradio = import_gradio()
    load = functools.lru_cache(maxsize=4)(load_bundle)

    def translate(model: str, direction: str, files: list[str] | None, photo: str | None) -> tuple[Any, ...]:
        pictures = [pathlib.Path(path) for path in [*(files or []), *([photo] if photo else [])]]
        if not pictures:
            raise gradio.Error("There is no picture yet. Drop one, or take one with the camera.", print_exception=False)
        try:
            shown = _translated(load(model), direction, pictures, folder)
        except CycleganError as error:
            raise gradio.Error(printable(str(error)), print_exception=False) from error
        if not shown.entries:
            raise gradio.Error(printable(" ".join(shown.lines)), print_exception=False)
        pairs = [(_pair(entry.input, entry.output), _pair(entry.input, entry.cycled)) for entry in shown.entries]
        thumbnails = [(str(entry.output), entry.name) for entry in shown.entries]
        several = gradio.Gallery(thumbnails, visible=len(pairs) > 1)
        lines = gradio.Textbox("\n".join(map(printable, shown.lines)), visible=bool(shown.lines))
        return *pairs[0], several, [str(path) for path in shown.files], lines, pairs

    def choose(pairs: list[tuple[Pair, Pair]], event: Any) -> tuple[Pair, Pair]:
        return pairs[int(event.index)]

    choose.__annotations__["event"] = gradio.SelectData  # this is how Gradio knows what to pass

    with gradio.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        pairs = gradio.State([])
        with gradio.Row():
            with gradio.Column(scale=1):
                model = gradio.Dropdown(list(models), value=models[0], label="Model")
                direction = gradio.Radio(
                    [("A to B", "ab"), ("B to A", "ba")], value="ab", label="Direction", info=_domains(load(models[0]))
                )
                files = gradio.File(label="Pictures", file_count="multiple", type="filepath", height=140)
                with gradio.Accordion("Camera", open=False):
                    photo = gradio.Image(sources=["webcam"], type="filepath", format="png", show_label=False)
                button = gradio.Button("Translate", variant="primary")
            with gradio.Column(scale=2):
                there = gradio.ImageSlider(label="Input and translation", type="filepath", interactive=False)
                several = gradio.Gallery(
                    label="Translations", visible=False, columns=6, height=160, allow_preview=False, buttons=[]
                )
                lines = gradio.Textbox(label="Messages", visible=False, interactive=False)
                download = gradio.File(label="Download", interactive=False)
                with gradio.Accordion("The way back", open=False):
                    back = gradio.ImageSlider(label="Input and way back", type="filepath", interactive=False)
        button.click(
            translate,
            [model, direction, files, photo],
            [there, back, several, download, lines, pairs],
            api_name="translate",
        )
        several.select(choose, [pairs], [there, back], api_name=False)
        model.change(lambda name: gradio.Radio(info=_domains(load(name))), [model], [direction], api_name=False)
    return page


def _translated(bundle: Bundle, direction: Any, pictures: Sequence[pathlib.Path], folder: pathlib.Path) -> Shown:
    return translate_pictures(bundle, direction, pictures, pathlib.Path(tempfile.mkdtemp(dir=folder)))


def _pair(one: pathlib.Path, other: pathlib.Path | None) -> Pair:
    assert other
    return str(one), str(other)


def _domains(bundle: Bundle) -> str:
    """What is known of the domains of a model."""
    made = bundle.info.provenance
    return f"Trained on {made.dataset}, {made.step:,} steps at {bundle.info.crop_size} pixels."
