import pytest

from cyclegan.config import OptimizerConfig
from cyclegan.training.schedules import build_schedule


@pytest.mark.parametrize(
    "epoch,multiplier",
    [(0, 1), (98, 1), (99, 1), (100, 1 - 1 / 101), (150, 1 - 51 / 101), (199, 1 - 100 / 101), (250, 0)],
)
def test_linear_schedule_is_the_reference_schedule(epoch, multiplier):
    schedule = build_schedule(OptimizerConfig(), steps_per_epoch=10, epochs=200, decay_epochs=100)
    for step in (epoch * 10, epoch * 10 + 9):
        assert float(schedule(step)) == pytest.approx(2e-4 * multiplier, rel=1e-12, abs=1e-20)


def test_constant_schedule_never_decays():
    schedule = build_schedule(OptimizerConfig(schedule="constant"), steps_per_epoch=1, epochs=2, decay_epochs=1)
    assert float(schedule(0)) == float(schedule(1000)) == 2e-4
