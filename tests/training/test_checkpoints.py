import os

import numpy as np
import pytest

from cyclegan.errors import CycleganError
from cyclegan.training.checkpoints import find_checkpoint, list_checkpoints, read_checkpoint, save_checkpoint

ARRAYS = {"x/kernel": np.arange(6000, dtype=np.float32).reshape(60, 100), "step": np.int64(5)}


def save(folder, *steps, keep=3):
    return [save_checkpoint(ARRAYS | {"step": np.int64(step)}, folder, step, keep) for step in steps][-1]


def steps_in(folder):
    return [step for step, _ in list_checkpoints(folder)]


def test_the_newest_checkpoint_comes_back_bit_by_bit(tmp_path):
    save(tmp_path, 1, 2)
    step, arrays = read_checkpoint(ARRAYS, tmp_path, pytest.fail)
    assert step == arrays["step"] == 2
    assert arrays["x/kernel"].tobytes() == ARRAYS["x/kernel"].tobytes()


def test_equal_values_make_equal_files(tmp_path):
    assert save(tmp_path / "one", 1).read_bytes() == save(tmp_path / "other", 1).read_bytes()


def test_only_the_last_ones_are_kept(tmp_path):
    save(tmp_path, 1, 2, 3, 4, 5, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000004.npz", "step-00000005.npz"]


def test_the_checkpoint_just_written_stays_even_if_others_have_higher_steps(tmp_path):
    save(tmp_path, 7, 8, 9)
    save(tmp_path, 5, keep=1)
    assert steps_in(tmp_path) == [5, 9]


def test_a_checkpoint_under_the_name_of_another_step_is_set_aside(tmp_path):
    save(tmp_path, 1, 2).rename(tmp_path / "step-00000009.npz")
    warnings = []
    assert read_checkpoint(ARRAYS, tmp_path, warnings.append)[0] == 1
    (warning,) = warnings
    assert warning.endswith(
        "is set aside as step-00000009.npz.damaged, because it is of step 2, so its name must be step-00000002.npz."
    )


def test_without_a_checkpoint_there_is_nothing_to_read(tmp_path):
    assert read_checkpoint(ARRAYS, tmp_path / "absent", pytest.fail) is None


def test_what_a_killed_process_left_does_not_count_and_is_removed(tmp_path):
    save(tmp_path, 1)
    (tmp_path / ".0123abcd.77.tmp").write_bytes(b"half a checkpoint")
    assert read_checkpoint(ARRAYS, tmp_path, pytest.fail)[0] == 1
    save(tmp_path, 2)
    assert not list(tmp_path.glob(".*"))


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    path.write_bytes(b"")


def flip(position):
    def damage(path):
        data = bytearray(path.read_bytes())
        data[int(position * (len(data) - 1))] ^= 0x10
        path.write_bytes(data)

    return damage


@pytest.mark.parametrize(
    "damage", [cut, empty, *map(flip, (0.1, 0.5, 0.9))], ids=["cut", "empty", "10 %", "50 %", "90 %"]
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(tmp_path, damage):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    damage(newest)
    warnings = []
    assert read_checkpoint(ARRAYS, tmp_path, warnings.append)[0] == 1
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{newest} is set aside as step-00000002.npz.damaged, because it is damaged: ")


def test_a_damaged_checkpoint_is_found_only_once_and_takes_no_place(tmp_path):
    save(tmp_path, 1)
    cut(save(tmp_path, 2))
    read_checkpoint(ARRAYS, tmp_path, lambda line: None)
    assert read_checkpoint(ARRAYS, tmp_path, pytest.fail)[0] == 1
    save(tmp_path, 2, keep=2)
    assert steps_in(tmp_path) == [1, 2]


def test_a_second_damaged_checkpoint_of_a_step_does_not_replace_the_first(tmp_path):
    save(tmp_path, 1)
    for _ in range(2):
        cut(save(tmp_path, 2))
        read_checkpoint(ARRAYS, tmp_path, lambda line: None)
    assert {path.name for path in tmp_path.glob("*.damaged*")} == {
        "step-00000002.npz.damaged",
        "step-00000002.npz.damaged-2",
    }


def test_looking_for_a_checkpoint_changes_nothing(tmp_path):
    save(tmp_path, 1)
    cut(save(tmp_path, 2))
    found = find_checkpoint(ARRAYS, tmp_path)
    assert found.step == 1 and [path.name for path, _ in found.unusable] == ["step-00000002.npz"]
    assert steps_in(tmp_path) == [1, 2]


def test_nothing_but_damaged_checkpoints_is_an_error_each_time_and_not_a_fresh_start(tmp_path):
    cut(save(tmp_path, 1))
    for _ in range(2):
        with pytest.raises(CycleganError, match="None of the checkpoints in .* can be used. The newest, step-00000001"):
            read_checkpoint(ARRAYS, tmp_path, pytest.fail)


def test_a_checkpoint_that_cannot_be_read_at_the_moment_is_not_set_aside(tmp_path):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    newest.unlink()
    newest.symlink_to(newest)  # opening it fails, whoever the user is
    with pytest.raises(CycleganError, match=f"{newest} cannot be read: Too many levels of symbolic links"):
        read_checkpoint(ARRAYS, tmp_path, pytest.fail)
    assert newest.is_symlink()


def test_a_newest_checkpoint_that_does_not_fit_gives_way_to_one_that_does(tmp_path):
    save(tmp_path, 1)
    save_checkpoint({"step": ARRAYS["step"]}, tmp_path, 2, keep=2)
    warnings = []
    assert read_checkpoint(ARRAYS, tmp_path, warnings.append)[0] == 1
    assert "does not fit the configuration of the run: `x/kernel` must be (60, 100) float32" in warnings[0]


@pytest.mark.parametrize(
    "other",
    [
        {"step": ARRAYS["step"]},
        ARRAYS | {"y": np.float32(1)},
        ARRAYS | {"x/kernel": np.zeros([60, 99], np.float32)},
        ARRAYS | {"x/kernel": np.zeros([60, 100], np.float64)},
    ],
    ids=["one less", "one more", "another shape", "another dtype"],
)
def test_a_checkpoint_of_another_state_is_refused_and_stays(tmp_path, other):
    path = save_checkpoint(other, tmp_path, 1, keep=2)
    with pytest.raises(CycleganError, match=f"{path.name}, does not fit the configuration"):
        read_checkpoint(ARRAYS, tmp_path, pytest.fail)
    assert path.exists()


def test_a_failed_save_leaves_the_older_checkpoints_and_no_litter(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "step-00000002.npz").mkdir()
    with pytest.raises(CycleganError, match="step-00000002.npz cannot be written: Is a directory"):
        save(tmp_path, 2, keep=1)
    assert not list(tmp_path.glob(".*"))
    assert (tmp_path / "step-00000001.npz").exists()
