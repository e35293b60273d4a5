"""How long a run is, in steps and in epochs."""

from typing import NamedTuple

from cyclegan.config.sections import TrainingConfig


class Length(NamedTuple):
    """How long a run is.

    Attributes:
        steps_per_epoch: steps in which each image of the larger domain is shown once.
        num_steps: steps after which the run is complete.
        num_epochs: epochs of the run. An epoch that is only begun counts as one.
        decay_epochs: epochs at the end in which the learning rate decays.
    """

    steps_per_epoch: int
    num_steps: int
    num_epochs: int
    decay_epochs: int


def run_length(training: TrainingConfig, steps_per_epoch: int) -> Length:
    """The length that `training.steps`, or else `training.epochs`, asks for.

    Where `training.decay_epochs` is null, the second half of the epochs decays.
    """
    num_steps = training.steps or training.epochs * steps_per_epoch
    num_epochs = -(-num_steps // steps_per_epoch)
    decay_epochs = num_epochs // 2 if training.decay_epochs is None else min(training.decay_epochs, num_epochs)
    return Length(steps_per_epoch, num_steps, num_epochs, decay_epochs)
