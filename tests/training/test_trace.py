import numpy as np
import pytest
import tensorflow as tf

from cyclegan.training.trace import TRACED_STEPS, traced


@pytest.fixture
def calls():
    return []


@pytest.fixture
def make_steps(calls):
    """Returns the numbers of the steps that it makes, counted from 0."""

    def make(num_steps):
        first = sum(calls)
        calls.append(num_steps)
        return {"step": np.arange(first, first + num_steps)}, True

    return make


def test_the_first_steps_of_the_second_call_are_traced(make_steps, tmp_path):
    lines = []
    make = traced(make_steps, tmp_path, lines.append)
    for num_steps in (1, 8, 3):
        make(num_steps)
    assert lines == [f"Trace of {TRACED_STEPS} steps in {tmp_path / 'plugins' / 'profile'}."]
    assert list((tmp_path / "plugins" / "profile").rglob("*.xplane.pb"))


def test_a_traced_call_makes_all_its_steps(make_steps, calls, tmp_path):
    make = traced(make_steps, tmp_path, print)
    made = [make(num_steps)[0]["step"] for num_steps in (1, 8)]
    assert calls == [1, TRACED_STEPS, 8 - TRACED_STEPS]
    assert np.concatenate(made).tolist() == list(range(9))


def test_a_call_that_fails_leaves_no_profiler_behind(make_steps, tmp_path):
    def broken(num_steps):
        raise OSError("broken")

    make = traced(lambda num_steps: make_steps(num_steps) if num_steps == 1 else broken(num_steps), tmp_path, print)
    make(1)
    with pytest.raises(OSError, match="broken"):
        make(2)
    tf.profiler.experimental.start(str(tmp_path / "next"))
    tf.profiler.experimental.stop()


def test_a_trace_that_cannot_be_written_costs_no_training(make_steps, tmp_path):
    (tmp_path / "plugins").write_text("a file where the folder should be")
    lines = []
    make = traced(make_steps, tmp_path, lines.append)
    made = [make(num_steps)[0]["step"] for num_steps in (1, 8)]
    assert np.concatenate(made).tolist() == list(range(9))
    assert len(lines) == 1 and lines[0].startswith("There is no trace: ")


def test_another_profiler_costs_no_training(make_steps, tmp_path):
    lines = []
    make = traced(make_steps, tmp_path / "mine", lines.append)
    tf.profiler.experimental.start(str(tmp_path / "other"))
    try:
        made = [make(num_steps)[0]["step"] for num_steps in (1, 2)]
    finally:
        tf.profiler.experimental.stop()
    assert np.concatenate(made).tolist() == list(range(3))
    assert len(lines) == 1 and lines[0].startswith("There is no trace: ")
