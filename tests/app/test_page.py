"""The page as a real process, of which nothing but HTTP is asked. Its network is cut."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

pytest.importorskip("gradio", reason="the extra `app` is not installed")

CUT = """
import runpy, socket

connect, find = socket.socket.connect, socket.getaddrinfo
LOCAL = ("127.0.0.1", "::1", "localhost", "0.0.0.0", None)

def guarded(self, address):
    if self.family != socket.AF_UNIX and address[0] not in LOCAL:
        print("Tried to reach", address, flush=True)
        raise OSError("the network is cut")
    return connect(self, address)

def looked_up(host, *arguments, **options):
    if host not in LOCAL and host != "nowhere.invalid":
        print("Tried to reach", host, flush=True)
    return find(host, *arguments, **options)

socket.socket.connect, socket.getaddrinfo = guarded, looked_up
runpy.run_module("cyclegan", run_name="__main__")
"""


class Page:
    """A page that is served by another process."""

    def __init__(self, model, folder, *options):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CUT, "app", "--model", model, "--no-open", *options],
            env=os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.search(r"The page is at (http://127\.0\.0\.1:\d+/)", line):
                self.address = found[1]
                break

    def get(self, path, data=None, **headers):
        request = urllib.request.Request(f"{self.address}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read()

    def upload(self, name, data):
        head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + data + b"\r\n--x--\r\n"
        (path,) = json.loads(self.get("gradio_api/upload", body, **{"Content-Type": "multipart/form-data; boundary=x"}))
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    def translate(self, model, direction, files):
        """The outputs of the page, or the error that it shows."""
        data = json.dumps({"data": [model, direction, files, None]}).encode()
        answer = self.get("gradio_api/call/translate", data, **{"Content-Type": "application/json"})
        events = self.get(f"gradio_api/call/translate/{json.loads(answer)['event_id']}").decode()
        kind, content = re.findall(r"event: (complete|error)\ndata: (.*)", events)[-1]
        return json.loads(content) if kind == "complete" else content


@pytest.fixture(scope="module")
def model(tmp_path_factory, make_bundle):
    folder = tmp_path_factory.mktemp("model")
    make_bundle(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def page(model, folder):
    page = Page(model, folder)
    assert hasattr(page, "address"), page.lines
    yield page
    page.process.send_signal(signal.SIGINT)
    output, _ = page.process.communicate(timeout=60)
    assert "Tried to reach" not in "".join(page.lines) + output, output
    assert page.process.returncode == 130, output
    assert [path.name for path in folder.iterdir() if path.name.startswith("cyclegan-")] == []


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_a_picture_goes_there_and_back(page, model, tmp_path):
    Image.effect_noise((40, 32), 60).convert("RGB").save(tmp_path / "horse.png")
    horse = page.upload("horse.png", (tmp_path / "horse.png").read_bytes())
    there, back, _, files, *_ = page.translate(model, "ab", [horse])
    assert [size_of(one["path"]) for one in (*there, *back)] == [(40, 32)] * 4
    assert [pathlib.Path(one["path"]).name for one in files] == ["horse.png"]
    assert page.get(f"gradio_api/file={files[0]['path']}") == pathlib.Path(files[0]["path"]).read_bytes()


def test_errors_are_those_of_translate(page, model):
    assert "There is no picture yet" in page.translate(model, "ab", [])
    assert "broken.png: " in page.translate(model, "ab", [page.upload("broken.png", b"not an image")])
    assert "&lt;img src=x&gt;" in page.translate(model, "ab", [page.upload("broken.png", b"<img src=x>")])


def test_the_files_of_the_machine_are_not_served(page):
    with pytest.raises(urllib.error.HTTPError, match="403"):
        page.get("gradio_api/file=/etc/hostname")


def test_nothing_on_the_page_comes_from_another_server(page):
    texts = [page.get("").decode(), page.get("theme.css").decode(), page.get("config").decode()]
    assert not [found for text in texts for found in re.findall(r"https?://fonts[^\s\"')]*", text)]


def test_what_a_foreign_bundle_says_of_itself_is_no_markup(make_bundle, folder, tmp_path):
    bundle = make_bundle(tmp_path / "foreign")
    made = bundle.info.provenance.model_copy(update={"dataset": "![x](http://there/x.png)<b>"})
    text = bundle.info.model_copy(update={"provenance": made}).model_dump_json()
    (bundle.folder / "bundle.json").write_text(text)
    page = Page(str(bundle.folder), folder)
    config = page.get("config").decode()
    page.process.send_signal(signal.SIGINT)
    page.process.communicate(timeout=60)
    assert "Trained on !x(http://there/x.png)" in config


def test_a_model_that_is_trained_on_is_read_again(make_bundle, page, model, tmp_path):
    Image.effect_noise((40, 32), 60).convert("RGB").save(tmp_path / "horse.png")
    for seed in (2, 3, 4):  # the weights of the first one are gone after the second saving
        make_bundle(pathlib.Path(model), seed=seed)
        horse = page.upload("horse.png", (tmp_path / "horse.png").read_bytes())
        assert isinstance(page.translate(model, "ab", [horse]), list)


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_an_address_of_another_machine_is_refused_at_once(model, folder, host):
    other = Page(model, folder, "--host", host)
    other.process.communicate(timeout=60)
    assert other.process.returncode == 2
    assert "`--host` must be an address of this machine: 127.0.0.1 for this" in "".join(other.lines)


def test_an_address_that_is_taken_is_refused(model, folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = Page(model, folder, "--port", str(taken.getsockname()[1]))
        other.process.communicate(timeout=60)
    assert other.process.returncode == 2 and "cannot be served at 127.0.0.1" in "".join(other.lines)
