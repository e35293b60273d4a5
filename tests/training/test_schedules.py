import math

import pytest
import tensorflow as tf

from cyclegan.config.sections import OptimizerConfig, TrainingConfig
from cyclegan.training.length import run_length
from cyclegan.training.schedules import describe_rate, learning_rate

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


def rate(step, *, name="linear", steps_per_epoch=10, step_epochs=50, **training):
    config = OptimizerConfig(schedule=name, step_epochs=step_epochs)
    length = run_length(TrainingConfig(**training), steps_per_epoch, 1)
    return float(learning_rate(config, length, tf.constant(step)))


@pytest.mark.parametrize("name", EXPECTED)
def test_schedule_in_steps_of_whole_epochs(name):
    for epoch, multiplier in EXPECTED[name].items():
        for step in (epoch * 10, epoch * 10 + 9):
            assert rate(step, name=name) == pytest.approx(2e-4 * multiplier, rel=1e-12, abs=1e-20)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_without_decaying_epochs_the_rate_stays(name):
    assert rate(0, name=name, decay_epochs=0) == rate(1999, name=name, decay_epochs=0) == 2e-4


def test_epochs_between_steps_are_those_of_the_configuration():
    received = [rate(epoch, name="step", steps_per_epoch=1, step_epochs=2) for epoch in range(5)]
    assert received == pytest.approx([2e-4, 2e-4, 2e-5, 2e-5, 2e-6])


@pytest.mark.parametrize("name,half", [("linear", 0.5), ("cosine", 0.5)])
def test_a_run_of_steps_decays_in_steps_within_its_only_epoch(name, half):
    """400,000 steps of an epoch of 1,000,000: the second half decays, step after step."""
    run = {"name": name, "steps_per_epoch": 1_000_000, "steps": 400_000}
    assert rate(199_999, **run) == 2e-4
    assert rate(200_000, **run) < 2e-4
    assert rate(300_000, **run) == pytest.approx(2e-4 * half, rel=1e-4)
    assert 0 < rate(399_999, **run) < 2e-8


def test_decaying_epochs_of_a_run_of_steps_are_whole_epochs_of_steps():
    run = {"steps_per_epoch": 10, "steps": 100, "decay_epochs": 2}
    assert rate(79, **run) == 2e-4
    assert rate(80, **run) == pytest.approx(2e-4 * 20 / 21)
    assert rate(99, **run) == pytest.approx(2e-4 / 21)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", "the learning rate is 0.0002"),
        ("linear", "the learning rate is 0.0002 for 1000 steps, then decays over 1000"),
        ("step", "the learning rate is 0.0002, and a tenth after every 50 epochs"),
        ("plateau", "the learning rate is 0.0002, times 0.5 after 5 evaluations without a gain"),
    ],
)
def test_the_rate_is_described_as_it_is(name, expected):
    length = run_length(TrainingConfig(), 10, 1)
    assert describe_rate(OptimizerConfig(schedule=name, step_epochs=50), length) == expected
