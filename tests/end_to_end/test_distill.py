"""A small model that learns from a large one, in real processes."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from cyclegan.bundles.bundle import load_bundle

pytestmark = pytest.mark.slow

STEPS = 300
STUDENT = ["--steps", str(STEPS), "--set=training.deterministic=true", "--set=training.checkpoint_every_steps=100"]
STUDENT += ["--set=training.log_every_steps=50", "--set=optimizer.learning_rate=0.001", "--precision=float32"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a small data set in `images` and a run in `large`."""
    from cyclegan.data.stripes import write_stripes

    folder = tmp_path_factory.mktemp("distill")
    write_stripes(folder / "images", num_train=16, num_test=4)
    arguments = ["--dataset", "images", "--config", "smoke", "--steps", "60", "--set=generator.filters=8"]
    finish(start(folder, "train", *arguments, "--run-dir", "large"))
    return folder


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "cyclegan", *arguments],
        cwd=folder,
        env=os.environ | {"CYCLEGAN_XLA_CACHE": "off", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def weights_of(run):
    return {way: entry.sha256 for way, entry in load_bundle(run, "last").info.weights.items()}


@pytest.fixture(scope="module")
def whole(folder):
    return finish(start(folder, "distill", "--model", "large", "--run-dir", "small", *STUDENT))


def test_a_student_comes_near_its_teacher_with_half_of_the_filters(folder, whole):
    assert "The discriminators go on from those of the teachers." in whole
    large, small = load_bundle(folder / "large"), load_bundle(folder / "small")
    assert (large.info.generator.filters, small.info.generator.filters) == (8, 4)
    images = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 8, 8, 3)).repeat(4, 1).repeat(4, 2).astype(np.float32)
    taught, learned = (each.generator("ab")(images, training=False).numpy() for each in (large, small))
    assert np.abs(taught - learned).mean() < 0.5 * np.abs(taught - images).mean()


def test_a_distillation_that_is_killed_goes_on_without_its_teacher(folder, whole):
    """The run has its own copy of the teacher, so it ends in the same bits although the teacher has gone."""
    shutil.copytree(folder / "large", folder / "passing")
    process = start(folder, "distill", "--model", "passing", "--run-dir", "killed", *STUDENT)
    for line in process.stdout:
        if "step 100/" in line:
            process.send_signal(signal.SIGKILL)
    process.communicate()
    shutil.rmtree(folder / "passing")
    assert "Continuing killed: steps " in finish(start(folder, "train", "--run-dir", "killed"))
    assert weights_of(folder / "killed") == weights_of(folder / "small")
