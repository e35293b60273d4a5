import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config.files import load_config
from cyclegan.training.pacing import Made, Pacing
from cyclegan.training.trace import TRACED_STEPS, Trace


@pytest.fixture
def calls():
    return []


@pytest.fixture
def make_steps(calls):
    """Returns the numbers of the steps that it makes, counted from 0."""

    def make(num_steps):
        first = sum(calls)
        calls.append(num_steps)
        return Made(
            {"step": np.arange(first, first + num_steps)}, np.ones(num_steps, bool), np.zeros(num_steps, bool), 0
        )

    return make


def made(trace, *lengths):
    """The numbers of the steps that calls of these lengths make."""
    return np.concatenate([trace(num_steps).metrics["step"] for num_steps in lengths]).tolist()


@pytest.mark.parametrize("lengths", [(1, 8, 3), (1, 1, 50, 50), (1, 2, 2, 2), (3, 5)])
def test_the_first_steps_after_the_first_call_are_traced(make_steps, tmp_path, lengths):
    lines = []
    trace = Trace(make_steps, tmp_path, lines.append, 10)
    assert made(trace, *lengths) == list(range(sum(lengths)))
    assert lines == [f"A trace of {TRACED_STEPS} steps is in {tmp_path / 'plugins' / 'profile'}."]
    assert list((tmp_path / "plugins" / "profile").rglob("*.xplane.pb"))
    trace.close()
    assert len(lines) == 1


def test_the_calls_of_a_real_training_are_traced(make_steps, tmp_path):
    lines = []
    trace = Trace(make_steps, tmp_path, lines.append, 10)
    pacing, done = Pacing(load_config("smoke"), 100), 0
    while done < 100:
        done = pacing.timed(trace, done, pacing.next_length(done))[0].step
    assert lines == [f"A trace of {TRACED_STEPS} steps is in {tmp_path / 'plugins' / 'profile'}."]


def test_the_end_of_the_trace_divides_a_call(make_steps, calls, tmp_path):
    made(Trace(make_steps, tmp_path, print, 10), 1, 8)
    assert calls == [1, TRACED_STEPS, 8 - TRACED_STEPS]


def test_a_training_that_ends_early_has_a_shorter_trace(make_steps, tmp_path):
    lines = []
    trace = Trace(make_steps, tmp_path, lines.append, 10)
    made(trace, 1, 2)
    trace.close()
    assert lines == [f"A trace of 2 steps is in {tmp_path / 'plugins' / 'profile'}."]


def test_a_training_of_one_call_says_that_it_has_no_trace(make_steps, tmp_path):
    lines = []
    trace = Trace(make_steps, tmp_path, lines.append, 10)
    made(trace, 1)
    trace.close()
    assert lines == ["There is no trace, because the training ended with its first call of TensorFlow."]


def test_a_call_that_fails_leaves_no_profiler_behind(make_steps, tmp_path):
    def broken(num_steps):
        raise OSError("broken")

    trace = Trace(lambda num_steps: make_steps(num_steps) if num_steps == 1 else broken(num_steps), tmp_path, print, 10)
    trace(1)
    with pytest.raises(OSError, match="broken"):
        trace(2)
    trace.close()
    tf.profiler.experimental.start(str(tmp_path / "next"))
    tf.profiler.experimental.stop()


def test_a_trace_that_cannot_be_written_costs_no_training(make_steps, tmp_path):
    (tmp_path / "plugins").write_text("a file where the folder should be")
    lines = []
    trace = Trace(make_steps, tmp_path, lines.append, 10)
    assert made(trace, 1, 8) == list(range(9))
    trace.close()
    assert len(lines) == 1 and lines[0].startswith("There is no trace: ")


def test_another_profiler_costs_no_training(make_steps, tmp_path):
    lines = []
    trace = Trace(make_steps, tmp_path / "mine", lines.append, 10)
    tf.profiler.experimental.start(str(tmp_path / "other"))
    try:
        assert made(trace, 1, 2) == list(range(3))
        trace.close()
    finally:
        tf.profiler.experimental.stop()
    assert len(lines) == 1 and lines[0].startswith("There is no trace: ")
