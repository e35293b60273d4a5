"""Learning rates as functions of the step."""

import math
from collections.abc import Callable
from typing import NamedTuple

import keras

from cyclegan.config.sections import OptimizerConfig


class Epochs(NamedTuple):
    """The facts about a run that a schedule needs, in epochs."""

    constant: int  # before the decay, for "linear" and "cosine"
    decay: int
    step: int  # between two steps, for "step"


def _decayed(epoch: keras.KerasTensor, epochs: Epochs) -> keras.KerasTensor:
    """The part of the decay that is done: above 0 in the first decaying epoch, below 1 in the last one."""
    decayed = keras.ops.maximum(0.0, epoch + 1 - epochs.constant) / (epochs.decay + 1)
    # A run that is continued past its last epoch must not climb back through negative rates.
    return keras.ops.minimum(decayed, 1.0)


SCHEDULES: dict[str, Callable[[keras.KerasTensor, Epochs], keras.KerasTensor]] = {
    "constant": lambda epoch, epochs: keras.ops.ones_like(epoch),
    # Zhu et al. 2017, section 4 of the supplement, as the PyTorch implementation counts epochs.
    "linear": lambda epoch, epochs: 1.0 - _decayed(epoch, epochs),
    # Loshchilov and Hutter 2017, eq. 5, without restarts, over the decaying epochs.
    "cosine": lambda epoch, epochs: (1.0 + keras.ops.cos(math.pi * _decayed(epoch, epochs))) / 2,
    # A tenth after every `step` epochs, as in the policy "step" of the PyTorch implementation.
    "step": lambda epoch, epochs: keras.ops.exp(math.log(0.1) * (epoch // epochs.step)),
}
"""Multipliers of the learning rate as functions of (epoch counted from 0, float64; Epochs)."""


class EpochSchedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras ships no types
    """A learning rate that changes in steps of whole epochs: learning_rate * multiplier(epoch).

    Args:
        learning_rate: full rate.
        steps_per_epoch: number of updates in an epoch.
        name: one of `SCHEDULES`.
        epochs: the facts that the multiplier needs.
    """

    def __init__(self, learning_rate: float, steps_per_epoch: int, name: str, epochs: Epochs):
        self.learning_rate = learning_rate
        self.steps_per_epoch = steps_per_epoch
        self.name = name
        self.epochs = Epochs(*epochs)

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        """The rate of the update that follows `step` completed ones."""
        epoch = keras.ops.cast(step // self.steps_per_epoch, "float64")
        return self.learning_rate * SCHEDULES[self.name](epoch, self.epochs)

    def get_config(self) -> dict[str, object]:
        """The arguments, for Keras."""
        return {
            "learning_rate": self.learning_rate,
            "steps_per_epoch": self.steps_per_epoch,
            "name": self.name,
            "epochs": tuple(self.epochs),
        }


def build_schedule(
    config: OptimizerConfig, steps_per_epoch: int, epochs: int, decay_epochs: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The schedule that `optimizer.schedule` names.

    Args:
        config: learning rate and name of the schedule.
        steps_per_epoch: number of updates in an epoch.
        epochs: the length of the run.
        decay_epochs: the number of epochs at the end that decay, for "linear" and "cosine".
    """
    return EpochSchedule(
        config.learning_rate,
        steps_per_epoch,
        config.schedule,
        Epochs(epochs - decay_epochs, decay_epochs, config.step_epochs),
    )
