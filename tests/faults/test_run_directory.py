"""A run directory that is deleted, moved or closed while a training writes to it."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from cyclegan.bundles.bundle import load_bundle
from cyclegan.training.checkpoints import list_checkpoints

pytestmark = pytest.mark.slow

START = ["--config", "smoke", "--dataset", "stripes", "--set", "training.log_every_steps=1", "--run-dir", "run"]


def delete(folder):
    folder.rename(folder.with_name("gone"))  # in one go, because the training may write a line between two deletions
    shutil.rmtree(folder.with_name("gone"))


def move(folder):
    folder.rename(folder.with_name("moved"))


def delete_small_files(folder):
    for name in ("run.json", "config.yaml", "images.gz"):
        (folder / name).unlink()


def damage_the_record(folder):
    (folder / "run.json").write_text("{")


@pytest.mark.parametrize("spoil", [delete, move, delete_small_files, damage_the_record])
def test_a_run_whose_directory_is_spoiled_is_saved_and_can_be_continued(tmp_path, train, spoil):
    with train(*START, "--steps", "100", "--set", "training.steps_per_call=1") as process:
        next(line for line in process.stdout if "step 2/100" in line)
        spoil(tmp_path / "run")
        output = process.communicate(timeout=200)[0]
    assert process.returncode == 0, output
    assert "run, or a file in it, was deleted or moved during the training. What the run needs" in output
    assert load_bundle(tmp_path / "run").info.provenance.step == 100
    with train("--run-dir", "run", "--steps", "105") as process:
        output = process.communicate(timeout=200)[0]
    assert process.returncode == 0, output
    assert "Continuing run: steps 100 to 105" in output
    assert list_checkpoints(tmp_path / "run" / "checkpoints")[-1][0] == 105


def test_a_training_ends_without_replacing_what_was_put_in_its_place(tmp_path, train):
    arguments = ["--steps", "100000", "--set", "training.checkpoint_every_steps=50"]
    with train(*START, *arguments) as process:
        next(line for line in process.stdout if "step 2/100000" in line)
        (tmp_path / "run").rename(tmp_path / "moved")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "config.yaml").write_text("a file of the user")
        try:
            output = process.communicate(timeout=100)[0]
        finally:
            process.kill()
    assert process.returncode == 1
    assert output.splitlines()[-1].startswith("Error: run was deleted or moved during the training, and something else")
    assert (tmp_path / "run" / "config.yaml").read_text() == "a file of the user"
    assert not {"run.json", "images.gz", "checkpoints", "bundle"} & {path.name for path in (tmp_path / "run").iterdir()}


@pytest.fixture
def read_only():
    """A block in which nobody can create a file in a folder, not even root, whom no mode keeps out."""

    @contextlib.contextmanager
    def block(folder: pathlib.Path) -> Iterator[None]:
        if os.geteuid():
            places = [folder, *(place for place in folder.rglob("*") if place.is_dir())]
            for place in places:
                place.chmod(0o555)
            try:
                yield
            finally:
                for place in places:
                    place.chmod(0o755)
            return
        if subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode:
            pytest.skip("needs to mount a folder")
        try:
            if subprocess.run(["mount", "-o", "remount,ro,bind", folder], capture_output=True).returncode:
                pytest.skip("needs to mount a folder read-only")
            yield
        finally:
            subprocess.run(["umount", "-l", folder], check=True)

    return block


def test_a_training_goes_on_while_its_directory_is_read_only(train, tmp_path, read_only):
    periods = ["--set", "training.checkpoint_every_steps=50", "--set", "training.sample_every_steps=70"]
    with train(*START, *periods, "--steps", "1000") as process:
        next(line for line in process.stdout if "step 2/" in line)
        with read_only(tmp_path / "run"):
            said = next(line for line in process.stdout if "checkpoints" in line and "Training goes on" in line)
        output = process.communicate(timeout=200)[0]
    assert re.search(r"run/checkpoints/step-\d+.npz cannot be written: (Permission denied|Read-only file system)", said)
    assert process.returncode == 0, output
    assert load_bundle(tmp_path / "run").info.provenance.step == 1000
