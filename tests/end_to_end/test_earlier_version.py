"""A run and a bundle that an earlier version wrote."""

import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import cyclegan
from cyclegan.bundle import load_bundle

EARLIER = pathlib.Path(__file__).parents[1] / "earlier_version"


@pytest.fixture
def run(tmp_path):
    """A copy of the run of the earlier version, with the path of its images."""
    folder = tmp_path / "run"
    shutil.copytree(EARLIER / "run", folder)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("IMAGES", str(EARLIER / "images")))
    return folder


@pytest.mark.slow
def test_a_run_of_an_earlier_version_continues_as_that_version_did(run):
    # In a process of its own, because deterministic operations cannot be switched off again.
    command = [sys.executable, "-m", "cyclegan", "train", "--run-dir", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "steps 3 to 6" in done.stdout
    assert done.returncode == 0, done.stderr
    for direction in ("ab", "ba"):
        ours = load_bundle(run).generator(direction).get_weights()
        theirs = load_bundle(EARLIER / "bundle_after" / "last").generator(direction).get_weights()
        # Equal bits on one machine. Other processors round differently.
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_a_bundle_of_an_earlier_version_translates():
    translate = cyclegan.Translator(EARLIER / "bundle_after" / "last", direction="ab")
    image = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    assert translate(image).shape == image.shape
