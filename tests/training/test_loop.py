import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config.files import load_config
from cyclegan.errors import CycleganError
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.hooks import Hook
from cyclegan.training.length import Session
from cyclegan.training.loop import iterate
from cyclegan.training.pacing import Pacing

ALONE = Cluster(tf.distribute.OneDeviceStrategy("/cpu:0"))
CONFIG = load_config("smoke", [("training.steps_per_call", 2), ("training.checkpoint_every_steps", 4)])


class Diary(Hook):
    """Notes what it is told."""

    def __init__(self):
        self.entries = []

    def at_checkpoint(self, call):
        self.entries.append(f"checkpoint {call.step}")

    def after_call(self, call):
        self.entries.append(f"after {call.step}")

    def at_end(self, call):
        self.entries.append(f"end {call.step}")

    def at_divergence(self):
        self.entries.append("divergence")

    def close(self):
        self.entries.append("close")


def train(hooks, *, first=0, last=6, stop=lambda: False, losses=np.zeros):
    def make_steps(num_steps):
        values = losses(num_steps)
        return {"loss": values}, bool(np.isfinite(values).all())

    return iterate(make_steps, Session(first, first, last, 1), Pacing(CONFIG.training, last), hooks, stop, ALONE)


def test_hooks_are_told_of_calls_checkpoints_and_the_end():
    diary = Diary()
    assert train([diary]) == 6
    expected = "after 2, checkpoint 4, after 4, after 5, end 6, after 6, close"
    assert ", ".join(diary.entries) == expected


def test_a_run_is_saved_by_all_hooks_before_any_of_them_shows_something():
    entries = []

    class Saver(Hook):
        def at_checkpoint(self, call):
            entries.append("saved")

    class Shower(Hook):
        def after_call(self, call):
            entries.append(call.step)

    train([Shower(), Saver()])
    assert entries == [2, "saved", 4, 5, 6]


def test_a_wish_to_stop_ends_the_loop_after_the_call_and_lets_the_hooks_save():
    diary = Diary()
    assert train([diary], stop=iter([False, True]).__next__) == 2
    assert diary.entries == ["end 2", "after 2", "close"]


def test_a_run_that_is_stopped_before_its_first_call_ends_where_it_began():
    diary = Diary()
    assert train([diary], first=4, stop=lambda: True) == 4
    assert diary.entries == ["close"]


def test_a_metric_that_is_not_finite_is_named_with_its_step_and_saved_nowhere():
    diary = Diary()
    with pytest.raises(CycleganError, match="loss is not finite in step 4, which was not taken"):
        train([diary], first=2, losses=lambda num_steps: np.array([0.5, np.nan]))
    assert diary.entries == ["divergence", "close"]


def test_a_run_is_saved_where_its_input_fails():
    def losses(num_steps):
        if diary.entries:
            raise CycleganError("too many bad images")
        return np.zeros(num_steps)

    diary = Diary()
    with pytest.raises(CycleganError, match="too many bad images"):
        train([diary], losses=losses)
    assert diary.entries == ["after 2", "end 2", "close"]


def test_a_step_whose_metrics_are_finite_but_its_weights_are_not_is_an_error():
    with pytest.raises(CycleganError, match="a new weight is not finite in step 2"):
        make = lambda num_steps: ({"loss": np.zeros(2)}, False)  # noqa: E731
        iterate(make, Session(0, 0, 6, 1), Pacing(CONFIG.training, 6), [], lambda: False, ALONE)


def test_hooks_are_closed_when_one_of_them_fails():
    class Broken(Hook):
        def after_call(self, call):
            raise OSError("broken")

    diary = Diary()
    with pytest.raises(OSError, match="broken"):
        train([Broken(), diary])
    assert diary.entries == ["close"]


def test_all_hooks_are_closed_when_closing_one_of_them_fails():
    class Broken(Hook):
        def close(self):
            raise OSError("broken")

    diary = Diary()
    with pytest.raises(OSError, match="broken"):
        train([Broken(), diary])
    assert diary.entries[-1] == "close"


def test_an_error_that_cannot_be_followed_by_saving_is_told_with_both_causes():
    class Full(Hook):
        def at_end(self, call):
            raise CycleganError("The disk is full.")

    def losses(num_steps):
        calls.append(num_steps)
        if len(calls) == 2:
            raise CycleganError("Too many bad images.")
        return np.zeros(num_steps)

    calls = []
    with pytest.raises(CycleganError, match=r"^Too many bad images\. The disk is full\.$"):
        train([Full()], losses=losses)
