"""Images that disappear or break while a training reads them."""

import os
import shutil
import subprocess
import sys

import pytest

from cyclegan.data.stripes import write_stripes
from cyclegan.training.checkpoints import list_checkpoints

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path):
    """Trains on a folder of images, spoils the folder after the second step, and returns the end of the output."""

    def train(spoil, *options):
        write_stripes(tmp_path / "photos", num_train=6, num_test=2)
        arguments = ["--config", "smoke", "--dataset", "photos", "--run-dir", "run", "--steps", "2000"]
        arguments += ["--set", "training.log_every_steps=1", "--set", "training.steps_per_call=1", *options]
        environment = os.environ | {"CYCLEGAN_DATA_DIR": str(tmp_path / "data"), "CYCLEGAN_XLA_CACHE": "off"}
        with subprocess.Popen(
            [sys.executable, "-m", "cyclegan", "train", *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            next(line for line in process.stdout if "step 2/" in line)
            spoil(tmp_path / "photos")
            output = process.communicate(timeout=200)[0]
        return process.returncode, output

    return train


def test_a_data_folder_that_disappears_ends_the_run_kindly_and_saves_it(run, tmp_path):
    code, output = run(shutil.rmtree)
    assert code == 1 and "Traceback" not in output
    assert f"Error: The folder {tmp_path}/photos/train" in output.splitlines()[-1]
    assert "is gone. The last image is" in output.splitlines()[-1]
    (step, _), *_ = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert step >= 2


def test_an_image_that_breaks_is_replaced_and_named(run, tmp_path):
    broken = tmp_path / "photos" / "trainA" / "0001.png"
    code, output = run(lambda folder: broken.write_bytes(b"text"), "--steps", "60")
    assert code == 0, output
    assert f"Replaced by the next image: {broken}: it is not a BMP" in output
