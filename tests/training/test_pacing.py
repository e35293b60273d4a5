import numpy as np
import tensorflow as tf

from cyclegan.config.files import load_config
from cyclegan.training.pacing import MAX_STEPS_PER_CALL, Pacing


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


def test_the_first_call_makes_one_step_and_later_ones_as_many_as_take_a_second():
    automatic = pacing(10**6, log_every_steps=10**6, sample_every_steps=10**6, checkpoint_every_steps=10**6)
    assert automatic.next_length(0) == 1

    def call(iterator, num_steps):
        return tf.zeros([num_steps, 3])

    assert automatic.timed(call, iter([]), 1).shape == (1, 3)
    assert automatic.warm
    assert automatic.next_length(1) == 1, "the first call, slow because it compiles, says nothing"
    assert np.array_equal(automatic.timed(call, iter([]), 2), np.zeros((2, 3)))
    # A call that does nothing takes far less than a second.
    assert automatic.next_length(3) == MAX_STEPS_PER_CALL
    assert automatic.seconds > 0
