import io
import pathlib

import pytest
import rich.console
import tensorflow as tf

from cyclegan.bundle import load_bundle
from cyclegan.config.files import load_config
from cyclegan.errors import CycleganError
from cyclegan.training.checkpoints import list_checkpoints
from cyclegan.training.hooks import Call
from cyclegan.training.keeper import Keeper
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import Plan
from cyclegan.training.state import build_state

CONFIG = load_config("smoke")
STRATEGY = tf.distribute.OneDeviceStrategy("/cpu:0")
CALL = Call(7, {"loss/discriminator_a": tf.constant([1.0, 2.0]).numpy()}, 0.1, False)


@pytest.fixture(scope="module")
def state():
    return build_state(CONFIG, STRATEGY, 10)


@pytest.fixture
def keeper(state, tmp_path):
    """A function that builds a keeper for a folder, and what the keeper prints."""
    output = io.StringIO()

    def build(folder: pathlib.Path) -> Keeper:
        progress = Progress(rich.console.Console(file=output, width=500))
        return Keeper(state, state.trackable(STRATEGY), Plan(folder, CONFIG, None, {}), progress, "fingerprint")

    return build, output


def test_a_checkpoint_is_saved_with_a_bundle_that_holds_the_means_of_the_call(keeper, tmp_path):
    build, _ = keeper
    build(tmp_path).at_checkpoint(CALL)
    assert [step for step, _ in list_checkpoints(tmp_path / "checkpoints")] == [7]
    provenance = load_bundle(tmp_path).info.provenance
    assert (provenance.step, provenance.metrics) == (7, {"loss/discriminator_a": 1.5})


def test_a_checkpoint_that_cannot_be_saved_costs_no_training(keeper, tmp_path):
    build, output = keeper
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    build(tmp_path).at_checkpoint(CALL)
    assert "Training goes on; the next attempt is at the next checkpoint." in output.getvalue()


def test_an_end_that_cannot_be_saved_is_an_error(keeper, tmp_path):
    build, _ = keeper
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(CycleganError, match="The end of the run cannot be saved"):
        build(tmp_path).at_end(CALL)
