import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from cyclegan.data.header_scan import find_bad_headers


@pytest.fixture
def paths(tmp_path):
    """Three small images; the second one is not an image."""
    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.bmp")
    (tmp_path / "1.bmp").write_bytes(b"no image")
    return [tmp_path / f"{number}.bmp" for number in range(3)]


def overwrite(path: pathlib.Path, keep_time: bool = True) -> None:
    """Replaces an image by as many zeros, which are not an image."""
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    seconds = 0 if keep_time else 1
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + seconds * 10**9))


def test_bad_files_come_in_their_order_with_their_problem(paths, tmp_path):
    overwrite(paths[2])
    bad = find_bad_headers(paths, 10**6)
    assert list(bad) == [paths[1], paths[2]]
    assert bad[paths[1]].path == paths[1] and "it starts with" in bad[paths[1]].reason


def test_good_files_are_not_opened_again(paths, tmp_path):
    manifest = tmp_path / "cache" / "headers.npz"
    assert list(find_bad_headers(paths, 10**6, manifest)) == [paths[1]]
    overwrite(paths[0])
    assert list(find_bad_headers(paths, 10**6, manifest)) == [paths[1]]  # and bad ones are
    assert list(find_bad_headers(paths, 10**6)) == paths[:2]


def test_a_manifest_of_relative_paths_holds_in_other_folders(paths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    find_bad_headers([pathlib.Path("0.bmp")], 10**6, tmp_path / "m.npz")
    overwrite(paths[0])
    assert not find_bad_headers([paths[0]], 10**6, tmp_path / "m.npz")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "0.bmp").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path / "other")
    assert find_bad_headers([pathlib.Path("0.bmp")], 10**6, tmp_path / "m.npz")


def test_a_file_that_changed_is_opened_again(paths, tmp_path):
    find_bad_headers(paths, 10**6, tmp_path / "m.npz")
    overwrite(paths[0], keep_time=False)
    paths[2].write_bytes(paths[2].read_bytes() + b"more")
    paths[2].write_bytes(b"short")
    assert list(find_bad_headers(paths, 10**6, tmp_path / "m.npz")) == paths


def test_another_limit_is_checked_anew(paths, tmp_path):
    find_bad_headers(paths, 64, tmp_path / "m.npz")
    assert list(find_bad_headers(paths, 63, tmp_path / "m.npz")) == paths


@pytest.mark.parametrize("content", [b"", b"no manifest", "other arrays"])
def test_a_damaged_manifest_is_ignored_and_replaced(paths, tmp_path, content):
    manifest = tmp_path / "m.npz"
    if isinstance(content, bytes):
        manifest.write_bytes(content)
    else:
        np.savez(manifest, good=np.zeros((3, 3)))
    assert list(find_bad_headers(paths, 10**6, manifest)) == [paths[1]]
    overwrite(paths[0])
    assert list(find_bad_headers(paths, 10**6, manifest)) == [paths[1]]


def test_a_manifest_that_cannot_be_written_is_done_without(paths, tmp_path):
    (tmp_path / "file").write_text("")
    assert list(find_bad_headers(paths, 10**6, tmp_path / "file" / "m.npz")) == [paths[1]]


def test_files_are_found_in_all_chunks(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    paths = [tmp_path / f"{number:04d}.png" for number in range(2500)]
    for path in paths:
        os.link(tmp_path / "a.png", path)
    bad = [paths[0], paths[1000], paths[2499]]
    for path in bad:
        path.unlink()
    assert list(find_bad_headers(paths, 10**6, tmp_path / "m.npz")) == bad
    assert list(find_bad_headers(paths, 10**6, tmp_path / "m.npz")) == bad
