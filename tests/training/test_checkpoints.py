import os

import pytest
import tensorflow as tf

from cyclegan.errors import CycleganError
from cyclegan.training.checkpoints import list_checkpoints, restore_checkpoint, save_checkpoint


@pytest.fixture
def state():
    return tf.train.Checkpoint(x=tf.Variable(1.0), y=tf.Variable([1.0, 2.0]))


def test_the_newest_checkpoint_comes_back_whole(state, tmp_path):
    for step in (1, 2):
        state.x.assign(10.0 * step)
        save_checkpoint(state, tmp_path, step, keep=3)
    state.x.assign(0.0)
    state.y.assign([0.0, 0.0])
    assert restore_checkpoint(state, tmp_path, pytest.fail) == 2
    assert float(state.x) == 20
    assert state.y.numpy().tolist() == [1, 2]


def test_only_the_last_ones_are_kept(state, tmp_path):
    for step in range(1, 6):
        save_checkpoint(state, tmp_path, step, keep=2)
    assert [step for step, _ in list_checkpoints(tmp_path)] == [4, 5]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000004", "step-00000005"]


def test_no_checkpoint_is_no_error(state, tmp_path):
    assert restore_checkpoint(state, tmp_path / "absent", pytest.fail) is None


def test_an_unfinished_checkpoint_does_not_count(state, tmp_path):
    save_checkpoint(state, tmp_path, 1, keep=2)
    (tmp_path / ".step-00000002.tmp").mkdir()
    assert restore_checkpoint(state, tmp_path, pytest.fail) == 1
    save_checkpoint(state, tmp_path, 2, keep=2)
    assert restore_checkpoint(state, tmp_path, pytest.fail) == 2


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def flip(path):
    data = bytearray(path.read_bytes())
    data[1] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flip, os.unlink])
@pytest.mark.parametrize("file", ["state.index", "state.data-00000-of-00001"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(state, tmp_path, damage, file):
    save_checkpoint(state, tmp_path, 1, keep=2)
    state.x.assign(2.0)
    newest = save_checkpoint(state, tmp_path, 2, keep=2)
    damage(newest / file)
    warnings = []
    assert restore_checkpoint(state, tmp_path, warnings.append) == 1
    assert float(state.x) == 1
    assert len(warnings) == 1 and str(newest) in warnings[0]


def test_nothing_but_damaged_checkpoints_is_an_error_not_a_fresh_start(state, tmp_path):
    (save_checkpoint(state, tmp_path, 1, keep=2) / "state.index").unlink()
    with pytest.raises(CycleganError, match="None of the 1 checkpoints"):
        restore_checkpoint(state, tmp_path, lambda line: None)


@pytest.mark.parametrize("other", [{"x": 1.0}, {"x": 1.0, "y": [1.0, 2.0], "z": 3.0}, {"x": 1.0, "y": [1.0]}])
def test_a_checkpoint_of_another_state_is_refused(state, tmp_path, other):
    saved = tf.train.Checkpoint(**{name: tf.Variable(value) for name, value in other.items()})
    save_checkpoint(saved, tmp_path, 1, keep=2)
    with pytest.raises(CycleganError):
        restore_checkpoint(state, tmp_path, lambda line: None)


def test_a_failed_save_leaves_the_older_checkpoints_and_no_litter(state, tmp_path):
    save_checkpoint(state, tmp_path, 1, keep=1)
    (tmp_path / "step-00000002").write_text("a file where the folder should be")
    with pytest.raises(CycleganError, match="Cannot write a checkpoint"):
        save_checkpoint(state, tmp_path, 2, keep=1)
    assert not list(tmp_path.glob(".*"))
    assert (tmp_path / "step-00000001" / "state.index").exists()
