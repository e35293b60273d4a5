import signal

import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config.files import load_config
from cyclegan.errors import CycleganError
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.hooks import Hook
from cyclegan.training.length import Session
from cyclegan.training.loop import Patience, iterate
from cyclegan.training.pacing import Made, Pacing

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

    def at_evaluation(self, call):
        self.entries.append(f"evaluation {call.step}")

    def at_divergence(self, call):
        self.entries.append(f"divergence {call.step}")

    def close(self):
        self.entries.append("close")


def ending(hooks, *, first=0, last=6, stop=lambda: 0, losses=np.zeros, max_bad_steps=1, config=CONFIG):
    bad_streak = 0

    def make_steps(num_steps):
        nonlocal bad_streak
        values = losses(num_steps)
        is_taken = np.isfinite(values)
        for each in is_taken:
            bad_streak = 0 if each else bad_streak + 1
        return Made({"loss": values}, is_taken, ~is_taken, bad_streak)

    session = Session(first, first, last, 1)
    patience = Patience(max_bad_steps, "Lower it")
    return iterate(make_steps, session, Pacing(config, last), hooks, stop, ALONE, patience)


def train(*args, **options):
    return ending(*args, **options).step


def test_hooks_are_told_of_calls_checkpoints_and_the_end():
    diary = Diary()
    assert train([diary]) == 6
    expected = "after 2, checkpoint 4, after 4, after 5, end 6, after 6, close"
    assert ", ".join(diary.entries) == expected


SCORED = load_config(
    "smoke",
    [
        ("training.steps_per_call", 2),
        ("training.checkpoint_every_steps", 4),
        ("data.validation_fraction", 0.1),
        ("evaluation.every_steps", 2),
    ],
)


def test_a_run_is_scored_after_it_is_saved_and_at_its_end():
    diary = Diary()
    assert train([diary], config=SCORED) == 6
    expected = (
        "evaluation 2, after 2, checkpoint 4, evaluation 4, after 4, after 5, end 6, evaluation 6, after 6, close"
    )
    assert ", ".join(diary.entries) == expected


def test_a_run_that_is_stopped_is_not_scored():
    diary = Diary()
    train([diary], stop=lambda: signal.SIGTERM if len(diary.entries) > 1 else 0, config=SCORED)
    assert diary.entries == ["evaluation 2", "after 2", "end 4", "after 4", "close"]


class Interrupted(Diary):
    """Receives a signal while it scores the run."""

    def at_evaluation(self, call):
        super().at_evaluation(call)
        self.received = signal.SIGTERM

    received = 0


def test_a_signal_while_a_run_is_scored_ends_the_session_at_this_step():
    """So that the step is still due when the run goes on, and is scored then."""
    hook = Interrupted()
    result = ending([hook], stop=lambda: hook.received, config=SCORED)
    assert (result.step, result.signal, result.is_early) == (2, signal.SIGTERM, False)
    assert hook.entries == ["evaluation 2", "end 2", "after 2", "close"]


def test_a_signal_while_a_run_is_scored_at_its_start_makes_no_step():
    hook = Interrupted()
    result = ending([hook], first=4, stop=lambda: hook.received, config=SCORED)
    assert (result.step, hook.entries) == (4, ["evaluation 4", "close"])


def test_a_signal_while_a_run_is_scored_at_its_end_saves_it_once():
    hook = Interrupted()
    ending([hook], first=5, stop=lambda: hook.received, config=SCORED)
    assert hook.entries == ["end 6", "evaluation 6", "after 6", "close"]


def test_a_run_that_was_killed_before_it_was_scored_is_scored_first():
    diary = Diary()
    train([diary], first=4, config=SCORED)
    assert diary.entries[0] == "evaluation 4"


def test_a_hook_can_end_a_run_where_it_is_scored():
    class Judge(Diary):
        def at_evaluation(self, call):
            self.is_over = call.step == 2

    judge = Judge()
    result = ending([judge], config=SCORED)
    assert (result.step, result.signal, result.is_early) == (2, 0, True)
    assert judge.entries == ["after 2", "end 2", "close"]


def test_a_run_that_ends_where_it_is_not_scored_is_saved_and_then_scored():
    class Ill(Diary):
        def after_call(self, call):
            super().after_call(call)
            self.is_over = call.step == 5

    ill = Ill()
    assert ending([ill], config=SCORED).step == 5
    assert ", ".join(ill.entries[-3:]) == "end 5, evaluation 5, close"


def test_a_run_that_is_over_makes_no_more_steps_and_is_scored_if_it_was_not():
    diary = Diary()
    diary.is_over = True
    result = ending([diary], first=4)
    assert (result.step, result.is_early, diary.entries) == (4, True, ["evaluation 4", "close"])


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
    assert train([diary], stop=iter([0, signal.SIGINT]).__next__) == 2
    assert diary.entries == ["end 2", "after 2", "close"]


def test_a_run_that_is_stopped_before_its_first_call_ends_where_it_began():
    diary = Diary()
    assert train([diary], first=4, stop=lambda: signal.SIGINT) == 4
    assert diary.entries == ["close"]


def test_a_metric_that_is_not_finite_is_named_with_its_step_and_saved_nowhere():
    diary = Diary()
    with pytest.raises(CycleganError, match="1 step was not finite and not taken; in step 4 it was loss. Lower it."):
        train([diary], first=2, losses=lambda num_steps: np.array([0.5, np.nan]))
    assert diary.entries == ["divergence 4", "close"]


def test_a_run_goes_on_after_fewer_bad_steps_than_end_it():
    diary = Diary()
    calls = iter([[np.nan, np.nan], [np.nan, 0.5], [np.nan], [0.5]])
    assert train([diary], losses=lambda num_steps: np.array(next(calls)), max_bad_steps=4) == 6
    assert diary.entries[-3:] == ["end 6", "after 6", "close"]


def test_a_run_that_ends_in_two_bad_steps_is_not_complete():
    diary = Diary()
    with pytest.raises(CycleganError, match="2 steps in a row were not finite"):
        train([diary], first=4, losses=lambda num_steps: np.full(num_steps, np.nan), max_bad_steps=10)
    assert diary.entries == ["after 5", "divergence 6", "close"]


def test_a_run_is_saved_where_its_input_fails():
    def losses(num_steps):
        if diary.entries:
            raise CycleganError("too many bad images")
        return np.zeros(num_steps)

    diary = Diary()
    with pytest.raises(CycleganError, match="too many bad images"):
        train([diary], losses=losses)
    assert diary.entries == ["after 2", "end 2", "close"]


def test_losses_that_were_never_finite_are_not_a_matter_of_the_rate():
    with pytest.raises(CycleganError, match="It was so from the first step on, which no learning rate changes"):
        train([Diary()], losses=lambda num_steps: np.full(num_steps, np.nan), max_bad_steps=2)


def test_a_step_whose_metrics_are_finite_but_its_weights_are_not_is_an_error():
    with pytest.raises(CycleganError, match="in step 2 it was a gradient or a new weight"):
        make = lambda num_steps: Made({"loss": np.zeros(2)}, np.array([True, False]), np.array([False, True]), 1)  # noqa: E731
        iterate(make, Session(0, 0, 6, 1), Pacing(CONFIG, 6), [], lambda: 0, ALONE, Patience(1, ""))


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
