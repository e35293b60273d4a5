import pytest

from cyclegan.training.checkpoints import checkpoint_name, list_checkpoints
from cyclegan.training.rollback import MAX_ROLLBACKS, data_seed, roll_back


@pytest.fixture
def checkpoints(tmp_path):
    """A folder with checkpoints of the steps 10, 20, 30 and 40."""
    for step in (10, 20, 30, 40):
        (tmp_path / checkpoint_name(step)).write_bytes(b"")
    return tmp_path


def test_what_is_newer_than_the_healthy_step_is_set_aside(checkpoints):
    lines = []
    assert roll_back(checkpoints, 25, 0, lines.append)
    assert [step for step, _ in list_checkpoints(checkpoints)] == [10, 20]
    assert (checkpoints / f"{checkpoint_name(30)}.ill").exists()
    assert lines[0].startswith("The run is ill and goes back to step 20, before the first sign of it.")


def test_a_second_rollback_keeps_what_the_first_has_set_aside(checkpoints):
    roll_back(checkpoints, 25, 0, lambda line: None)
    (checkpoints / checkpoint_name(30)).write_bytes(b"")
    roll_back(checkpoints, 25, 1, lambda line: None)
    assert (checkpoints / f"{checkpoint_name(30)}.ill-2").exists()


def test_a_run_without_a_healthy_checkpoint_ends(checkpoints):
    lines = []
    assert not roll_back(checkpoints, 5, 0, lines.append)
    assert len(list_checkpoints(checkpoints)) == 4
    assert "no checkpoint is left of step 5 or before, so it ends here" in lines[0]


def test_a_run_goes_back_only_so_often(checkpoints):
    lines = []
    assert not roll_back(checkpoints, 25, MAX_ROLLBACKS, lines.append)
    assert lines == ["The run is ill, and has gone back 3 times before, so it ends here."]


def test_the_images_have_another_order_after_each_rollback():
    assert data_seed(7, 0) == 7
    seeds = {data_seed(seed, rollbacks) for seed in (0, 1, 2**31 - 1) for rollbacks in range(4)}
    assert len(seeds) == 12 and max(seeds) < 2**63
