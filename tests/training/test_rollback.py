import pytest

from cyclegan.bundles.bundle import save_bundle
from cyclegan.bundles.info import bundle_info
from cyclegan.config.files import load_config
from cyclegan.networks.generators import build_generator
from cyclegan.training.checkpoints import checkpoint_name, list_checkpoints
from cyclegan.training.rollback import MAX_ROLLBACKS, data_seed, find_way_back, set_aside


@pytest.fixture
def run(tmp_path):
    """A run with checkpoints of the steps 10, 20, 30 and 40."""
    (tmp_path / "checkpoints").mkdir()
    for step in (10, 20, 30, 40):
        (tmp_path / "checkpoints" / checkpoint_name(step)).write_bytes(b"")
    return tmp_path


def test_the_way_leads_to_the_last_checkpoint_before_the_first_sign(run):
    step, text = find_way_back(run, 25, 0)
    assert step == 20
    assert text.startswith("The run is ill and goes back to step 20, before the first sign of it.")


def test_what_is_newer_is_set_aside(run):
    set_aside(run, 20, 25)
    assert [step for step, _ in list_checkpoints(run / "checkpoints")] == [10, 20]
    assert (run / "checkpoints" / f"{checkpoint_name(30)}.ill").exists()
    (run / "checkpoints" / checkpoint_name(30)).write_bytes(b"")
    set_aside(run, 20, 25)
    assert (run / "checkpoints" / f"{checkpoint_name(30)}.ill-2").exists()


@pytest.mark.parametrize(("step", "kept"), [(20, True), (25, True), (30, False)])
def test_a_best_bundle_is_kept_up_to_the_last_healthy_step(run, step, kept):
    config = load_config("smoke")
    save_bundle(run / "bundle" / "best", {"ab": build_generator(config.generator)}, bundle_info(config, step))
    set_aside(run, 20, 25)
    assert (run / "bundle" / "best").exists() is kept
    assert (run / "bundle" / "best.ill").exists() is not kept


def test_a_run_without_a_healthy_checkpoint_ends(run):
    step, text = find_way_back(run, 5, 0)
    assert step is None and "no checkpoint is left of step 5 or before, so it ends here" in text


def test_a_run_that_was_ill_from_the_start_is_told_what_helps(run):
    step, text = find_way_back(run, 0, 0)
    assert step is None and "Start a new run with another training.seed" in text


def test_a_run_goes_back_only_so_often(run):
    step, text = find_way_back(run, 25, MAX_ROLLBACKS)
    assert (step, text) == (None, "The run is ill, and has gone back 3 times before, so it ends here.")


def test_the_images_have_another_order_after_each_rollback():
    assert data_seed(7, 0) == 7
    seeds = {data_seed(seed, rollbacks) for seed in (0, 1, 2**31 - 1) for rollbacks in range(4)}
    assert len(seeds) == 12 and max(seeds) < 2**63
