import math

import pytest

from cyclegan.config.sections import OptimizerConfig
from cyclegan.training.schedules import EpochSchedule, build_schedule

# Multipliers at epochs counted from 0, of 200 epochs of which 100 decay.
EXPECTED = {
    "constant": {0: 1, 199: 1, 1000: 1},
    "linear": {0: 1, 98: 1, 99: 1, 100: 1 - 1 / 101, 150: 1 - 51 / 101, 199: 1 - 100 / 101, 250: 0},
    "cosine": {
        0: 1,
        99: 1,
        100: (1 + math.cos(math.pi / 101)) / 2,
        150: (1 + math.cos(math.pi * 51 / 101)) / 2,
        199: (1 + math.cos(math.pi * 100 / 101)) / 2,
        250: 0,
    },
    "step": {0: 1, 49: 1, 50: 0.1, 99: 0.1, 100: 0.01, 199: 0.001},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_schedule_in_steps_of_whole_epochs(name):
    schedule = build_schedule(OptimizerConfig(schedule=name), steps_per_epoch=10, epochs=200, decay_epochs=100)
    for epoch, multiplier in EXPECTED[name].items():
        for step in (epoch * 10, epoch * 10 + 9):
            assert float(schedule(step)) == pytest.approx(2e-4 * multiplier, rel=1e-12, abs=1e-20)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_without_decaying_epochs_the_rate_stays(name):
    schedule = build_schedule(OptimizerConfig(schedule=name), steps_per_epoch=10, epochs=3, decay_epochs=0)
    assert float(schedule(0)) == float(schedule(29)) == 2e-4


def test_epochs_between_steps_are_those_of_the_configuration():
    config = OptimizerConfig(schedule="step", step_epochs=2)
    schedule = build_schedule(config, steps_per_epoch=1, epochs=200, decay_epochs=0)
    assert [float(schedule(epoch)) for epoch in range(5)] == pytest.approx([2e-4, 2e-4, 2e-5, 2e-5, 2e-6])


def test_a_schedule_comes_back_from_its_configuration():
    schedule = build_schedule(OptimizerConfig(), steps_per_epoch=10, epochs=200, decay_epochs=100)
    again = EpochSchedule.from_config(schedule.get_config())
    assert float(again(1500)) == float(schedule(1500)) != 2e-4
