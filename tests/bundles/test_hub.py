"""Bundles from a server that speaks as the Hugging Face Hub does, on this machine."""

import hashlib
import http.server
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from cyclegan.bundles.bundle import load_bundle
from cyclegan.errors import CycleganError, UsageError

pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: pip install 'cyclegan[hub]'")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(make_bundle, tmp_path):
    """The address of the server, the files that it has, and the paths that it was asked for."""
    folder = tmp_path / "remote"
    make_bundle(folder)
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, code, data=b"", **headers):
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def do_GET(self):
            asked.append(self.path)
            owner, _, rest = self.path.removeprefix("/").partition("/resolve/")
            revision, _, name = rest.partition("/")
            if owner == "someone/gated":
                return self.answer(403, X_Error_Code="GatedRepo")
            if owner != "someone/zebras":
                return self.answer(404, X_Error_Code="RepoNotFound")
            if revision not in ("main", "v1", COMMIT):
                return self.answer(404, X_Error_Code="RevisionNotFound")
            if not (folder / name).is_file():
                return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            data = (folder / name).read_bytes()
            return self.answer(200, data, X_Repo_Commit=COMMIT, ETag=f'"{hashlib.sha256(data).hexdigest()}"')

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", folder, asked
    server.shutdown()
    thread.join()
    server.server_close()


FIND = """
import sys
from cyclegan.bundles.places import find_bundle
from cyclegan.errors import CycleganError
try:
    print(find_bundle(sys.argv[1]))
except CycleganError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def find(hub, tmp_path):
    """Finds an address in a process of its own, because the library reads its settings when it is imported."""
    endpoint, _, _ = hub
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    settings |= {"HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}

    def run(address, **more):
        command = [sys.executable, "-c", FIND, address]
        done = subprocess.run(command, env=os.environ | settings | more, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return pathlib.Path(printed) if (printed := done.stdout.strip()).startswith("/") else printed

    return run


def test_a_bundle_is_downloaded_once_and_its_generators_are_those_of_the_server(hub, find):
    _, folder, asked = hub
    found = find(f"hf://someone/zebras@{COMMIT}")
    for direction in ("ab", "ba"):
        loaded, there = (load_bundle(each).generator(direction) for each in (found, folder))
        for one, other in zip(loaded.get_weights(), there.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    names = {path.rpartition("/")[2] for path in asked}
    assert names == {"bundle.json", "README.md", *(path.name for path in folder.glob("*.npz"))}
    asked.clear()
    assert find(f"hf://someone/zebras@{COMMIT}", HF_HUB_OFFLINE="1") == found
    assert asked == []


def test_all_files_are_of_the_commit_of_the_first_one(hub, find):
    """A branch may move between two downloads."""
    _, folder, asked = hub
    (folder / "README.md").write_text("The card.")
    found = find("hf://someone/zebras@v1")
    paths = {path.rpartition("/")[2]: path.split("/")[4] for path in asked}
    assert paths.pop("bundle.json") == "v1"
    assert set(paths.values()) == {COMMIT}
    assert (found / "README.md").read_text() == "The card."


def test_weights_that_are_not_those_of_the_bundle_are_refused(hub, find):
    _, folder, _ = hub
    path = next(folder.glob("generator_ab*.npz"))
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)
    bundle = load_bundle(find("hf://someone/zebras"))
    with pytest.raises(CycleganError, match=r"are damaged: their SHA-256 differs from the one in bundle\.json"):
        bundle.generator("ab")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (
            "hf://someone/zebra",
            "UsageError hf://someone/zebra is not a bundle that can be read: there is no such repos",
        ),
        ("hf://someone/zebras@v2", "there is no such revision"),
        ("hf://someone/gated", "is only for people who have accepted its terms. Accept them on its page, then log in"),
        ("hf://-a/b", "UsageError An address must have the form"),
        ("hf://zebras", "UsageError An address must have the form hf://owner/name or hf://owner/name@revision."),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(find, address, text):
    assert text in find(address)


def test_a_repository_without_a_bundle_is_named(hub, find):
    _, folder, _ = hub
    (folder / "bundle.json").unlink()
    assert "there is no such file bundle.json" in find("hf://someone/zebras")


def test_a_bundle_can_name_no_file_outside_of_it(hub, find):
    _, folder, asked = hub
    text = (folder / "bundle.json").read_text()
    (folder / "bundle.json").write_text(text.replace("generator_ab-", "../../secret-"))
    with pytest.raises(UsageError, match=r"must be the name of an \.npz file in the same folder"):
        load_bundle(find("hf://someone/zebras"))
    assert not any("secret" in path for path in asked)


def test_a_server_that_cannot_be_reached_is_one_line(find):
    printed = find("hf://someone/zebras", HF_ENDPOINT="http://127.0.0.1:9")
    assert (
        printed.startswith("CycleganError hf://someone/zebras cannot be downloaded, and was not")
        and "\n" not in printed
    )
