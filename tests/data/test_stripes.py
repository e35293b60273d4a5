import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from cyclegan.data.stripes import MARKER, VERSION, ensure_stripes, has_stripes, stripes_folder, write_stripes
from cyclegan.errors import CycleganError


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_every_split_and_its_truth(tmp_path):
    write_stripes(tmp_path / "data", num_train=3, num_test=2)
    counts = {
        folder.relative_to(tmp_path / "data").as_posix(): len(list(folder.glob("*.png")))
        for folder in (tmp_path / "data").rglob("*")
        if folder.is_dir() and folder.name != "truth"
    }
    assert counts == {
        "trainA": 3,
        "trainB": 3,
        "testA": 2,
        "testB": 2,
        "truth/testA_striped": 2,
        "truth/testA_mask": 2,
        "truth/testB_plain": 2,
        "truth/testB_mask": 2,
    }


def test_the_truth_belongs_to_its_test_image(tmp_path):
    write_stripes(tmp_path / "data", num_train=1, num_test=3)
    for domain, pair in (("A", "striped"), ("B", "plain")):
        for path in (tmp_path / "data" / f"test{domain}").iterdir():
            shown = read(path)
            other = read(tmp_path / "data/truth" / f"test{domain}_{pair}" / path.name)
            mask = read(tmp_path / "data/truth" / f"test{domain}_mask" / path.name)
            np.testing.assert_array_equal(shown[mask == 0], other[mask == 0])
            brighter = other if domain == "A" else shown
            darker = shown if domain == "A" else other
            assert brighter[mask == 255].mean() > darker[mask == 255].mean()


def test_no_scene_is_in_two_splits(tmp_path):
    """Backgrounds outside the animal are shared by the two coats, so a shared scene shows in the top row."""
    write_stripes(tmp_path / "data", num_train=20, num_test=10)
    splits = ("trainA", "trainB", "testA", "testB")
    top_rows = [read(p)[0].tobytes() for split in splits for p in (tmp_path / "data" / split).iterdir()]
    assert len(set(top_rows)) == 60


def test_a_whole_folder_is_left_as_it_is(tmp_path):
    write_stripes(tmp_path / "data", num_train=2, num_test=1)
    (tmp_path / "data/trainA/0000.png").write_bytes(b"touched")
    before = contents(tmp_path / "data")
    write_stripes(tmp_path / "data", num_train=2, num_test=1)
    assert contents(tmp_path / "data") == before


DRAW = """
import os, pathlib, sys
os.getpid = lambda: 1  # as in a container
from cyclegan.data import stripes
draw = stripes.draw_scene
def draw_after_a_line(seed, index):
    if (seed, index) == (0, int(sys.argv[2])):
        print("waiting", flush=True)
        sys.stdin.readline()
    return draw(seed, index)
stripes.draw_scene = draw_after_a_line
stripes.write_stripes(pathlib.Path(sys.argv[1]), num_train=3, num_test=1)
"""
"""Draws the data set as process 1, and waits for a line after a number of images."""


def start_drawing(folder, num_images):
    command = [sys.executable, "-c", DRAW, folder, str(num_images)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "waiting\n"
    return process


def test_two_containers_do_not_destroy_each_others_images(tmp_path):
    processes = [start_drawing(tmp_path / "data", num_images) for num_images in (2, 1)]
    for process in processes:
        _, errors = process.communicate("go on\n", timeout=120)
        assert (process.returncode, errors) == (0, "")
    assert {path.name for path in (tmp_path / "data/trainA").iterdir()} == {"0000.png", "0001.png", "0002.png"}
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path):
    process = start_drawing(tmp_path / "data", num_images=1)
    process.kill()
    process.communicate()
    (left,) = tmp_path.iterdir()
    write_stripes(tmp_path / "data", num_train=1, num_test=1)
    assert left.is_dir()
    for path in (left, *left.rglob("*")):
        os.utime(path, (time.time() - 90_000,) * 2)
    write_stripes(tmp_path / "data", num_train=1, num_test=1)
    assert left.is_dir()  # a finished data set costs no search
    shutil.rmtree(tmp_path / "data")
    write_stripes(tmp_path / "data", num_train=1, num_test=1)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert [path.name for path in (tmp_path / "data/trainA").iterdir()] == ["0000.png"]


@pytest.mark.parametrize("existing", ["foreign.txt", MARKER])
def test_a_folder_with_something_else_is_refused_and_kept(tmp_path, existing):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / existing).write_text("{}")
    with pytest.raises(CycleganError, match="stripes cannot be written to .*data") as caught:
        write_stripes(tmp_path / "data", num_train=1, num_test=1)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path / "data").keys() == {(tmp_path / "data" / existing).relative_to(tmp_path / "data")}
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("text", ["{}", "[]", "7", '{"version": 1}', '{"version": 1, "num_train": "x", "num_test": 1}'])
def test_a_marker_without_version_and_counts_is_not_a_finished_set(tmp_path, text):
    stripes_folder(tmp_path).mkdir()
    (stripes_folder(tmp_path) / MARKER).write_text(text)
    assert not has_stripes(tmp_path)


def test_a_data_directory_that_is_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CycleganError, match="CYCLEGAN_DATA_DIR"):
        ensure_stripes(tmp_path / "file")


def test_ensure_writes_once_below_a_name_with_the_version(drawn_stripes):
    data_dir, _ = drawn_stripes
    folder = stripes_folder(data_dir)
    assert folder == data_dir / f"stripes-{VERSION}"
    changed = (folder / MARKER).stat().st_mtime_ns
    assert ensure_stripes(data_dir, pytest.fail) == folder
    assert (folder / MARKER).stat().st_mtime_ns == changed
    assert len(list((folder / "testA").iterdir())) >= 100
