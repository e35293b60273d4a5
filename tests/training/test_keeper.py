import io
import pathlib
import shutil

import numpy as np
import pytest
import rich.console
import tensorflow as tf

from cyclegan.bundles.bundle import load_bundle
from cyclegan.config.files import load_config
from cyclegan.errors import CycleganError
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.checkpoints import list_checkpoints
from cyclegan.training.hooks import Call
from cyclegan.training.keeper import Keeper, find_shortage, renew_bundle
from cyclegan.training.length import run_length
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import Plan
from cyclegan.training.securing import Displaced
from cyclegan.training.state import build_state

CONFIG = load_config("smoke")
STRATEGY = tf.distribute.OneDeviceStrategy("/cpu:0")


@pytest.fixture(scope="module")
def state():
    return build_state(CONFIG, STRATEGY, run_length(CONFIG.training, 10, 1))


@pytest.fixture
def call(state):
    """Brings the state to a step, and returns the call that did it."""

    def make(step, *losses):
        state.step.assign(step)
        return Call(step, {"loss/discriminator_a": np.array(losses, np.float32)}, 0.1, False)

    return make


@pytest.fixture
def keeper(state, tmp_path):
    """A function that builds a keeper for a folder, and what the keeper prints."""
    output = io.StringIO()

    def build(folder: pathlib.Path) -> Keeper:
        progress = Progress(rich.console.Console(file=output, width=500))
        return Keeper(state.named(STRATEGY), Plan(folder, CONFIG, None, {}), progress, "fingerprint", Cluster(STRATEGY))

    return build, output


def test_a_disk_without_room_for_a_checkpoint_is_named(state, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    assert find_shortage(state.named(STRATEGY), tmp_path).startswith(f"The disk of {tmp_path} has 100.0 kB left, but a")
    monkeypatch.undo()
    assert find_shortage(state.named(STRATEGY), tmp_path) is None


def saved_steps(folder):
    return [step for step, _ in list_checkpoints(folder / "checkpoints")]


def told(keeper, call, *steps, checkpoint):
    """Tells a keeper of calls, given as (step, losses ...), one of which is a checkpoint."""
    for step in steps:
        one = call(*step)
        if one.step == checkpoint:
            keeper.at_checkpoint(one)
        keeper.after_call(one)


def test_a_checkpoint_and_its_bundle_are_written_once_the_next_call_is_good(keeper, call, tmp_path):
    build, _ = keeper
    one = build(tmp_path)
    told(one, call, (7, 1.0), (8, 1.0), checkpoint=7)
    one.close()
    assert saved_steps(tmp_path) == [7]
    assert load_bundle(tmp_path).info.provenance.step == 7


def test_a_state_whose_next_step_is_not_good_is_saved_nowhere(keeper, call, tmp_path):
    build, _ = keeper
    one = build(tmp_path)
    told(one, call, (7, 1.0), checkpoint=7)
    one.at_divergence(call(9))
    one.close()
    assert not saved_steps(tmp_path)


def test_a_state_waits_for_a_step_that_is_taken(keeper, call, tmp_path):
    build, _ = keeper
    one = build(tmp_path)
    told(one, call, (7, 1.0), checkpoint=7)
    one.after_call(call(8, np.nan)._replace(skipped={8: "loss"}))
    one._finish_writing()
    assert not saved_steps(tmp_path)
    one.after_call(call(9, 2.0))
    one._finish_writing()
    assert saved_steps(tmp_path) == [7]
    one.at_end(call(10, np.nan)._replace(skipped={10: "loss"}))
    assert load_bundle(tmp_path).info.provenance.metrics == {"loss/discriminator_a": 2.0}


def test_a_training_ends_with_the_first_call_after_its_place_was_taken(state, call, tmp_path):
    def secure():
        raise Displaced("taken")

    progress = Progress(rich.console.Console(file=io.StringIO()))
    plan = Plan(tmp_path, CONFIG, None, {})
    one = Keeper(state.named(STRATEGY), plan, progress, "fingerprint", Cluster(STRATEGY), secure)
    told(one, call, (7, 1.0), (8, 1.0), checkpoint=7)
    one._finish_writing()
    with pytest.raises(Displaced):
        one.after_call(call(9, 1.0))
    assert not list(tmp_path.iterdir())


def test_a_state_that_waits_is_saved_if_something_else_fails(keeper, call, tmp_path):
    build, _ = keeper
    one = build(tmp_path)
    told(one, call, (7, 1.0), checkpoint=7)
    one.close()  # as after a failure of another hook
    assert saved_steps(tmp_path) == [7]


def test_what_is_saved_when_the_input_fails_counts_the_steps_since_the_last_call(keeper, call, state, tmp_path):
    build, _ = keeper
    one = build(tmp_path)
    last = call(7, 1.0)
    state.step.assign(9)  # two steps of a call whose third batch could not be read
    one.at_end(last)
    assert saved_steps(tmp_path) == [9]


def test_any_error_of_the_writing_thread_is_said_and_the_end_is_saved(keeper, call, tmp_path, monkeypatch):
    build, output = keeper
    one = build(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("numpy.savez", lambda *args, **arrays: (_ for _ in ()).throw(MemoryError("full")))
        told(one, call, (7, 1.0), (8, 1.0), checkpoint=7)
        one._finish_writing()
    one.at_end(call(9, 1.0))
    assert "The run cannot be saved: MemoryError('full')." in output.getvalue()
    assert saved_steps(tmp_path) == [9]


def test_checkpoints_after_every_call_are_all_written(keeper, call, tmp_path):
    build, _ = keeper
    one = build(tmp_path)
    for step in (1, 2, 3):
        told(one, call, (step, 1.0), checkpoint=step)
    one.at_divergence(call(9))
    one.close()
    assert saved_steps(tmp_path) == [1, 2]


def test_a_checkpoint_holds_the_values_of_its_step_and_not_later_ones(keeper, call, state, tmp_path):
    build, _ = keeper
    one = build(tmp_path)
    one.at_checkpoint(call(7, 1.0))
    one.after_call(call(8, 1.0))
    one.close()
    with np.load(tmp_path / "checkpoints" / "step-00000007.npz") as arrays:
        assert arrays["step"] == 7


def test_the_metrics_of_a_bundle_are_means_over_all_steps_since_the_last_one(keeper, call, tmp_path):
    build, _ = keeper
    one = build(tmp_path)
    told(one, call, (2, 100.0, 200.0), (4, 1.0, 2.0), checkpoint=2)
    one.at_end(call(7, 3.0, 4.0, 5.0))
    assert load_bundle(tmp_path).info.provenance.metrics == {"loss/discriminator_a": 3.0}


def test_a_checkpoint_that_cannot_be_saved_costs_no_training(keeper, call, tmp_path):
    build, output = keeper
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    one = build(tmp_path)
    told(one, call, (7, 1.0), (8, 1.0), checkpoint=7)
    one._finish_writing()
    assert output.getvalue().endswith("cannot be written: File exists. Training goes on.\n")
    told(one, call, (9, 1.0), checkpoint=9)
    one.close()
    assert output.getvalue().endswith("cannot be written: File exists. It was the last attempt.\n")


def test_an_end_that_cannot_be_saved_is_an_error(keeper, call, tmp_path):
    build, _ = keeper
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(
        CycleganError, match=r"^Step 7 cannot be saved: .* There is no checkpoint\. Remove the cause, then start over"
    ):
        build(tmp_path).at_end(call(7, 1.0))


def test_an_end_that_cannot_be_saved_names_the_checkpoint_that_is_left(keeper, call, state, tmp_path, monkeypatch):
    build, _ = keeper
    one = build(tmp_path)
    told(one, call, (7, 1.0), (8, 1.0), checkpoint=7)
    one._finish_writing()

    def full(*_):
        raise CycleganError("The checkpoint cannot be written: No space left on device.")

    monkeypatch.setattr("cyclegan.training.keeper.save_checkpoint", full)
    with pytest.raises(CycleganError, match="No space left on device. The newest checkpoint is of step 7. Remove the"):
        one.at_end(call(9, 1.0))


@pytest.fixture
def finished(keeper, call, state, tmp_path):
    """What `renew_bundle` takes for a run that is complete at step 7."""
    build, _ = keeper
    build(tmp_path).at_end(call(7, 1.0))
    return state.named(STRATEGY), Plan(tmp_path, CONFIG, None, {}), 7, "fingerprint"


def test_a_bundle_that_is_there_is_not_written_again(finished):
    assert not renew_bundle(*finished)


def test_a_missing_bundle_is_written_again(finished, tmp_path):
    before = load_bundle(tmp_path).info
    (tmp_path / "bundle" / "last" / "bundle.json").unlink()
    assert renew_bundle(*finished)
    assert load_bundle(tmp_path).info.weights == before.weights


def test_a_bundle_with_a_damaged_file_is_written_again(finished, tmp_path):
    next((tmp_path / "bundle" / "last").glob("generator_ab*")).write_bytes(b"damaged")
    assert renew_bundle(*finished)
    assert load_bundle(tmp_path).generator("ab")


def test_a_bundle_of_an_earlier_step_is_written_again(finished, tmp_path):
    variables, plan, _, fingerprint = finished
    assert renew_bundle(variables, plan, 8, fingerprint)
    assert load_bundle(tmp_path).info.provenance.step == 8


def test_a_bundle_that_cannot_be_written_is_called_a_bundle(keeper, call, tmp_path):
    build, _ = keeper
    (tmp_path / "bundle").write_text("a file where the folder should be")
    with pytest.raises(CycleganError) as error:
        build(tmp_path).at_end(call(7, 1.0))
    assert str(error.value).startswith(f"Step 7 cannot be saved: The bundle {tmp_path}/bundle/last cannot be written: ")
    assert "The newest checkpoint is of step 7." in str(error.value)
