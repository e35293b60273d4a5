import numpy as np
import pytest

from cyclegan.config.files import load_config
from cyclegan.training.pacing import MAX_STEPS_PER_CALL, Made, Pacing, is_sample_due


def pacing(last_step, **training):
    periods = {"log_every_steps": 1000, "sample_every_steps": 1000, "checkpoint_every_steps": 1000}
    overrides = [(f"training.{key}", value) for key, value in (periods | training).items()]
    return Pacing(load_config("smoke", overrides), last_step)


def lengths(pacing, first, last):
    done, found = first, []
    while done < last:
        found.append(pacing.next_length(done))
        done += found[-1]
    return found


def test_a_call_ends_where_something_is_due():
    fixed = pacing(23, steps_per_call=6, log_every_steps=5, sample_every_steps=8, checkpoint_every_steps=10)
    assert lengths(fixed, 0, 23) == [5, 3, 2, 5, 1, 4, 3]
    assert lengths(fixed, 7, 23) == [1, 2, 5, 1, 4, 3]


def scored(last_step, steps_per_epoch=1, **keys):
    periods = dict.fromkeys(("log_every_steps", "sample_every_steps", "checkpoint_every_steps"), 1000)
    overrides = [(f"training.{key}", value) for key, value in (periods | {"steps_per_call": 6}).items()]
    overrides += [("data.validation_fraction", 0.1), *((key.replace("__", "."), value) for key, value in keys.items())]
    return Pacing(load_config("smoke", overrides), last_step, steps_per_epoch)


def test_a_call_ends_where_the_run_is_to_be_scored():
    paced = scored(20, evaluation__every_steps=7)
    assert lengths(paced, 0, 20) == [6, 1, 6, 1, 6]
    assert [step for step in range(1, 21) if paced.is_evaluation(step)] == [7, 14, 20]


def test_a_call_ends_where_the_run_is_to_be_examined():
    assert lengths(scored(20, health__every_steps=8), 0, 20) == [6, 2, 6, 2, 4]


def test_a_run_can_be_scored_by_epochs():
    paced = scored(20, steps_per_epoch=3, evaluation__every_epochs=2)
    assert [step for step in range(1, 21) if paced.is_evaluation(step)] == [6, 12, 18, 20]


def test_a_run_without_validation_images_is_never_scored():
    paced = scored(20, data__validation_fraction=0.0, evaluation__every_steps=5)
    assert not any(paced.is_evaluation(step) for step in range(21))
    assert lengths(paced, 0, 20) == [6, 6, 6, 2]


def test_scoring_by_time_takes_a_twentieth_of_it(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    paced = scored(1000, evaluation__every_minutes=2.0)

    def waits():
        start = clock[0]
        while not paced.is_evaluation(1):
            clock[0] += 1
        return clock[0] - start

    assert waits() == 120
    paced.evaluated(seconds=5)
    assert waits() == 120
    paced.evaluated(seconds=10)
    assert waits() == 200


@pytest.fixture
def automatic():
    return pacing(10**6, log_every_steps=10**6, sample_every_steps=10**6, checkpoint_every_steps=10**6)


def make_steps(num_steps):
    """Takes far less than a second."""
    return Made({"loss": np.zeros(num_steps)}, np.ones(num_steps, bool), np.zeros(num_steps, bool), 0)


def test_a_call_names_what_was_not_finite_in_the_steps_that_it_skipped(automatic):
    metrics = {"loss": np.array([1.0, np.nan, 1.0, 2.0]), "penalty": np.array([0.0, np.inf, 0.0, 0.0])}
    made = Made(metrics, np.array([True, False, True, False]), np.array([False, True, False, False]), 1)
    call, bad_streak = automatic.timed(lambda num_steps: made, 10, 4)
    assert (call.step, call.skipped, bad_streak) == (14, {12: "loss", 14: "a gradient or a new weight"}, 1)
    assert call.overflown == (14,)


def test_the_first_call_makes_one_step(automatic):
    assert automatic.next_length(0) == 1


def test_the_time_of_the_first_call_does_not_decide_the_length_of_the_next(automatic):
    assert automatic.timed(make_steps, 0, 1)[0].is_first
    assert automatic.next_length(1) == 1


def test_later_calls_make_as_many_steps_as_take_a_second(automatic, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def make_slow_steps(num_steps):
        clock[0] += 0.0999 * num_steps
        return make_steps(num_steps)

    automatic.timed(make_slow_steps, 0, 1)
    assert not automatic.timed(make_slow_steps, 1, 2)[0].is_first
    assert automatic.next_length(3) == 10


def test_a_call_makes_no_more_steps_than_the_maximum(automatic):
    automatic.timed(make_steps, 0, 1)
    automatic.timed(make_steps, 1, 2)
    assert automatic.next_length(3) == MAX_STEPS_PER_CALL


def test_a_call_says_where_the_run_is_and_how_long_it_took(automatic):
    call, _ = automatic.timed(make_steps, 3, 2)
    assert (call.step, call.num_steps) == (5, 2)
    assert call.seconds > 0


def test_a_checkpoint_is_due_at_its_period_but_not_at_the_end_of_the_run():
    fixed = pacing(20, checkpoint_every_steps=10)
    assert [step for step in range(1, 21) if fixed.is_checkpoint(step)] == [10]


def test_by_time_a_checkpoint_is_due_once_the_minutes_have_passed():
    always, never = (
        pacing(20, checkpoint_every_steps=None, checkpoint_every_minutes=minutes) for minutes in (1e-12, 1e6)
    )
    assert [step for step in range(1, 21) if always.is_checkpoint(step)] == list(range(1, 20))
    assert not [step for step in range(1, 21) if never.is_checkpoint(step)]


def test_pictures_become_rarer_as_the_run_becomes_longer():
    due = [step for step in range(1, 1001) if is_sample_due(step, 5)]
    # 20 pictures at every 5 steps, then 10 for each doubling: every 10 steps to 200, 20 to 400, 40 to 800, then 80.
    assert due[:20] == list(range(5, 101, 5))
    assert due[20:] == [*range(110, 201, 10), *range(220, 401, 20), *range(440, 801, 40), 880, 960]


def test_a_long_run_has_few_pictures():
    assert sum(is_sample_due(step, 500) for step in range(1, 266_801)) == 66


def test_a_call_ends_where_a_rare_picture_is_due():
    fixed = pacing(130, steps_per_call=1000, sample_every_steps=5)
    assert lengths(fixed, 90, 130) == [5, 5, 10, 10, 10]
