"""A run directory that is deleted or moved while a training writes to it."""

import os
import shutil
import subprocess
import sys

import pytest

from cyclegan.bundle import load_bundle
from cyclegan.training.checkpoints import list_checkpoints

pytestmark = pytest.mark.slow

START = ["--config", "smoke", "--dataset", "stripes", "--set", "training.log_every_steps=1", "--run-dir", "run"]


@pytest.fixture
def train(tmp_path):
    """Starts a training in a process of its own."""
    environment = os.environ | {"CYCLEGAN_DATA_DIR": str(tmp_path / "data"), "CYCLEGAN_XLA_CACHE": "off"}

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "cyclegan", "train", *arguments],
            cwd=tmp_path,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def delete(folder):
    shutil.rmtree(folder)


def move(folder):
    folder.rename(folder.with_name("moved"))


@pytest.mark.parametrize("remove", [delete, move])
def test_a_run_whose_directory_goes_away_is_saved_and_can_be_continued(tmp_path, train, remove):
    with train(*START, "--steps", "300", "--set", "training.steps_per_call=1") as process:
        next(line for line in process.stdout if "step 2/300" in line)
        remove(tmp_path / "run")
        output = process.communicate(timeout=200)[0]
    assert process.returncode == 0, output
    assert "run was deleted or moved while the training went on. It is created again" in output
    assert load_bundle(tmp_path / "run").info.provenance.step == 300
    with train("--run-dir", "run", "--steps", "305") as process:
        output = process.communicate(timeout=200)[0]
    assert process.returncode == 0, output
    assert "Continuing run: steps 300 to 305" in output
    assert list_checkpoints(tmp_path / "run" / "checkpoints")[-1][0] == 305
