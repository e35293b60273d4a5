"""A run and a bundle that an earlier version wrote."""

import pathlib
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import cyclegan
from cyclegan.cli.main import main
from cyclegan.config.files import load_config
from cyclegan.training.warm_start import load_start

EARLIER = pathlib.Path(__file__).parents[1] / "earlier_version"


def test_a_run_of_an_earlier_version_is_refused_with_the_way_to_go_on():
    run = EARLIER / "run"
    before = sorted(EARLIER.rglob("*"))
    result = CliRunner().invoke(main, ["train", "--run-dir", str(run), "--steps", "9"])
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {run} was begun by cyclegan 0.1.0, and this version cannot continue it. Continue it with that version,"
        f" or start a new run from its generators with --init-from {run}.\n"
    )
    assert sorted(EARLIER.rglob("*")) == before


def test_a_new_run_can_start_from_the_generators_of_an_earlier_version(tmp_path):
    run = shutil.copytree(EARLIER / "run", tmp_path / "run")
    shutil.copytree(EARLIER / "bundle_after" / "last", run / "bundle" / "last")
    bundle = load_start(load_config("smoke", [("generator.filters", 2)]), run)
    assert bundle.info.provenance.step == 6


@pytest.mark.parametrize("direction", ["ab", "ba"])
def test_a_bundle_of_an_earlier_version_translates_to_the_same_values(direction):
    translate = cyclegan.Translator(EARLIER / "bundle_after" / "last", direction=direction)
    image = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    expected = np.load(EARLIER / f"translated_{direction}.npy", allow_pickle=False)
    # Equal on one machine. Other processors round differently.
    np.testing.assert_allclose(translate(image).astype(int), expected, rtol=0, atol=1)
