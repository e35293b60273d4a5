import os
import pathlib
import re
import stat
import subprocess
import sys

import pytest

from cyclegan.runtime.xla_cache import KEPT_FILES, enable_xla_cache, private_cache_dir, seal_xla_cache


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug=false")
    monkeypatch.delenv("CYCLEGAN_XLA_CACHE", raising=False)


def names(folder):
    return sorted(path.name for path in folder.glob("entry*"))


def test_tensorflow_uses_a_folder_for_this_version_and_processor(tmp_path):
    folder = enable_xla_cache(tmp_path)
    assert folder.is_dir() and folder.name.startswith("tensorflow-2.")
    assert os.environ["TF_XLA_FLAGS"] == (
        f'--tf_xla_clustering_debug=false --tf_xla_persistent_cache_directory="{folder}"'
    )


def test_sealed_files_stay_and_damaged_or_unknown_files_are_removed(tmp_path):
    folder = enable_xla_cache(tmp_path)
    for number in range(4):
        (folder / f"entry{number}").write_bytes(bytes([number]) * 100)
    seal_xla_cache(folder)
    (folder / "entry1").write_bytes(b"\1" * 50)  # truncated
    (folder / "entry2").write_bytes(b"\2" * 99 + b"\3")  # flipped
    (folder / "entry4").write_bytes(b"from a process that was killed")
    os.environ["TF_XLA_FLAGS"] = ""
    enable_xla_cache(tmp_path)
    assert names(folder) == ["entry0", "entry3"]


@pytest.mark.parametrize("digests", ["", "{", "[1]", "null", '{"entry": 3}'])
def test_without_valid_digests_nothing_is_trusted(tmp_path, digests):
    folder = enable_xla_cache(tmp_path)
    (folder / "entry").write_bytes(b"code")
    (folder / "digests.json").write_text(digests)
    os.environ["TF_XLA_FLAGS"] = ""
    assert enable_xla_cache(tmp_path) == folder
    assert names(folder) == []


def test_only_the_newest_files_are_kept(tmp_path):
    folder = enable_xla_cache(tmp_path)
    for number in range(KEPT_FILES + 2):
        path = folder / f"entry{number:02}"
        path.write_bytes(b"code")
        os.utime(path, (number, number))
    seal_xla_cache(folder)
    os.environ["TF_XLA_FLAGS"] = ""
    enable_xla_cache(tmp_path)
    assert names(folder) == [f"entry{number:02}" for number in range(2, KEPT_FILES + 2)]


@pytest.mark.parametrize(
    ("xdg", "expected"),
    [("/caches", "/caches/cyclegan"), ("", "/home/me/.cache/cyclegan"), ("relative", "/home/me/.cache/cyclegan")],
)
def test_caches_are_in_the_folder_of_the_user_for_caches(monkeypatch, xdg, expected):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    monkeypatch.setenv("CYCLEGAN_DATA_DIR", "/shared")
    assert private_cache_dir() == pathlib.Path(expected)


def test_only_its_owner_can_enter_the_cache(tmp_path):
    folder = enable_xla_cache(tmp_path / "cyclegan")
    for place in (folder, folder.parent, tmp_path / "cyclegan"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("place", "mode"), [("", 0o775), ("", 0o770), ("..", 0o757), ("../..", 0o775), ("../..", 0o777)]
)
def test_a_cache_that_others_can_reach_is_off_and_the_line_says_how_to_close_it(tmp_path, place, mode):
    folder = enable_xla_cache(tmp_path / "cyclegan")
    reached = pathlib.Path(os.path.normpath(folder / place))
    reached.chmod(mode)
    os.environ["TF_XLA_FLAGS"] = ""
    lines = []
    assert enable_xla_cache(tmp_path / "cyclegan", lines.append) is None
    assert len(lines) == 1 and lines[0].startswith("The cache of compiled code is off: ")
    assert re.search(rf"chmod (700|go-w) {re.escape(str(reached))}\.$", lines[0])
    assert os.environ["TF_XLA_FLAGS"] == ""


def test_a_cache_that_others_could_only_read_is_closed_and_used(tmp_path):
    folder = enable_xla_cache(tmp_path / "cyclegan")
    for place in (folder, folder.parent):
        place.chmod(0o755)
    os.environ["TF_XLA_FLAGS"] = ""
    assert enable_xla_cache(tmp_path / "cyclegan", pytest.fail) == folder
    assert {stat.S_IMODE(place.stat().st_mode) for place in (folder, folder.parent)} == {0o700}


@pytest.mark.skipif(os.geteuid() != 0, reason="only the administrator can give folders to others")
@pytest.mark.parametrize(
    ("place", "message"), [("", "must be a folder that belongs to you"), ("../..", "another person")]
)
def test_a_cache_that_belongs_to_somebody_else_is_off(tmp_path, place, message):
    folder = enable_xla_cache(tmp_path / "cyclegan")
    os.chown(os.path.normpath(folder / place), 12345, 12345)
    os.environ["TF_XLA_FLAGS"] = ""
    lines = []
    assert enable_xla_cache(tmp_path / "cyclegan", lines.append) is None
    assert len(lines) == 1 and message in lines[0]


def test_a_link_in_place_of_the_cache_is_not_followed(tmp_path):
    folder = enable_xla_cache(tmp_path / "cyclegan")
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    os.environ["TF_XLA_FLAGS"] = ""
    assert enable_xla_cache(tmp_path / "cyclegan") is None


def test_the_cache_is_off_where_it_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    assert enable_xla_cache(tmp_path / "file") is None


def test_the_cache_is_off_on_a_disk_that_is_nearly_full(tmp_path, monkeypatch):
    monkeypatch.setattr("cyclegan.runtime.xla_cache.ROOM", 1 << 60)
    lines = []
    assert enable_xla_cache(tmp_path / "cyclegan", lines.append) is None
    assert re.fullmatch(r"The cache of compiled code is off: .* has only .*B left\.", *lines)


def test_the_cache_is_off_on_request(tmp_path, monkeypatch):
    monkeypatch.setenv("CYCLEGAN_XLA_CACHE", "off")
    assert enable_xla_cache(tmp_path) is None


def test_a_cache_of_the_user_stays_in_use(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory=/mine")
    assert enable_xla_cache(tmp_path) is None
    assert os.environ["TF_XLA_FLAGS"] == "--tf_xla_persistent_cache_directory=/mine"


def test_sealing_survives_files_that_another_process_has_removed(tmp_path):
    seal_xla_cache(tmp_path / "gone")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_tensorflow_writes_into_a_folder_with_a_space(tmp_path):
    program = """
import pathlib, sys
from cyclegan.runtime.xla_cache import enable_xla_cache
folder = enable_xla_cache(pathlib.Path(sys.argv[1]))
import tensorflow as tf
tf.function(lambda x: tf.exp(x) + 1, jit_compile=True)(tf.zeros([4]))
assert any("xla_compile_cache" in path.name for path in folder.iterdir()), list(folder.iterdir())
"""
    command = [sys.executable, "-c", program, str(tmp_path / "my data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["my data"]
