"""How long a run is, in steps and in epochs, and over which part of it the learning rate decays."""

from typing import NamedTuple

from cyclegan.config.sections import TrainingConfig


class Length(NamedTuple):
    """How long a run is.

    Attributes:
        steps_per_epoch: steps in which each image of the larger domain is shown once.
        num_steps: steps after which the run is complete.
        num_epochs: epochs of the run. An epoch that is only begun counts as one.
        decay_steps: steps at the end of the run in which the learning rate decays.
        decay_unit: steps after which the learning rate falls again: an epoch where epochs decide how long the run is,
            and 1 where steps decide.
    """

    steps_per_epoch: int
    num_steps: int
    num_epochs: int
    decay_steps: int
    decay_unit: int


def run_length(training: TrainingConfig, steps_per_epoch: int) -> Length:
    """The length that `training.steps`, or else `training.epochs`, asks for.

    Where `training.decay_epochs` is null, the second half of the run decays: of its epochs, or of its steps.
    """
    num_steps = training.steps or training.epochs * steps_per_epoch
    unit = 1 if training.steps else steps_per_epoch
    if training.decay_epochs is None:
        decay_steps = num_steps // unit // 2 * unit
    else:
        decay_steps = min(training.decay_epochs * steps_per_epoch, num_steps)
    return Length(steps_per_epoch, num_steps, -(-num_steps // steps_per_epoch), decay_steps, unit)
