"""The learning rate as a function of the progress of a run."""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from cyclegan.config.sections import OptimizerConfig
from cyclegan.training.length import Length


class _Time(NamedTuple):
    """How far a run is, as float64 tensors.

    `decayed` is the part of the decay that is done: 0 before it, above 0 in its first unit, below 1 in its last one.
    """

    epoch: tf.Tensor
    decayed: tf.Tensor


SCHEDULES: dict[str, Callable[[_Time, OptimizerConfig], tf.Tensor]] = {
    "constant": lambda time, config: tf.ones_like(time.epoch),
    # Zhu et al. 2017, section 4 of the supplement, as the PyTorch implementation counts epochs.
    "linear": lambda time, config: 1 - time.decayed,
    # Loshchilov and Hutter 2017, eq. 5, without restarts, over the decay.
    "cosine": lambda time, config: (1 + tf.cos(math.pi * time.decayed)) / 2,
    # The scores lower the rate by `State.rate_factor`, see `cyclegan.training.evaluator`.
    "plateau": lambda time, config: tf.ones_like(time.epoch),
    # A tenth after every `step_epochs`, as in the policy "step" of the PyTorch implementation.
    "step": lambda time, config: tf.exp(math.log(0.1) * (time.epoch // config.step_epochs)),
}
"""Multipliers of the learning rate by the value of `optimizer.schedule`."""


def learning_rate(
    config: OptimizerConfig, length: Length, samples: tf.Tensor, factor: tf.Tensor | None = None
) -> tf.Tensor:
    """The learning rate of the update that follows after so many samples: float64.

    The rate falls after each `length.decay_unit` steps: after each epoch where epochs decide how long the run is, and
    after each step where steps decide.

    Args:
        config: the full rate and the name of the schedule.
        length: the length of the run.
        samples: an integer, the images of each domain that the run has seen.
        factor: what the rate is multiplied by, float64; None leaves it as it is.
    """
    step = tf.cast(samples // length.global_batch, tf.float64)
    num_units = -(-length.num_steps // length.decay_unit)
    num_decaying = length.decay_steps // length.decay_unit
    decayed = (step // length.decay_unit + 1 - (num_units - num_decaying)) / (num_decaying + 1)
    time = _Time(step // length.steps_per_epoch, tf.clip_by_value(decayed, 0, 1))
    rate = config.learning_rate * SCHEDULES[config.schedule](time, config)
    return rate if factor is None else rate * factor


def describe_rate(config: OptimizerConfig, length: Length) -> str:
    """The learning rate over a run, as part of a sentence."""
    text = f"the learning rate is {config.learning_rate:g}"
    if config.schedule == "step":
        return f"{text}, and a tenth after every {config.step_epochs} epochs"
    if config.schedule == "plateau":
        return f"{text}, times {config.plateau_factor:g} after {config.plateau_patience} evaluations without a gain"
    if config.schedule == "constant" or not length.decay_steps:
        return text
    return f"{text} for {length.num_steps - length.decay_steps} steps, then decays over {length.decay_steps}"
