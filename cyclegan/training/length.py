"""How long a run is, in steps and in epochs, and over which part of it the learning rate decays.

The progress of a run is counted in samples, the images of each domain that it has seen, because a run may continue with
another number of replicas, and so with larger or smaller steps. The steps of a length are those of its first session.
"""

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
        global_batch: samples of each of these steps.
    """

    steps_per_epoch: int
    num_steps: int
    num_epochs: int
    decay_steps: int
    decay_unit: int
    global_batch: int

    @property
    def samples_per_epoch(self) -> int:
        """Samples in which each image of the larger domain is shown once."""
        return self.steps_per_epoch * self.global_batch

    @property
    def num_samples(self) -> int:
        """Samples after which the run is complete."""
        return self.num_steps * self.global_batch


def run_length(training: TrainingConfig, epoch_size: int, global_batch: int) -> Length:
    """The length that `training.steps`, or else `training.epochs`, asks for.

    An epoch shows each image of the larger domain once, rounded up to whole steps. Where `training.decay_epochs` is
    null, the second half of the run decays: of its epochs, or of its steps.

    Args:
        training: the section of the configuration.
        epoch_size: the number of training images of the larger domain.
        global_batch: the images of each domain in a step of the first session, over all replicas.
    """
    steps_per_epoch = -(-epoch_size // global_batch)
    num_steps = training.steps or training.epochs * steps_per_epoch
    unit = 1 if training.steps else steps_per_epoch
    if training.decay_epochs is None:
        decay_steps = num_steps // unit // 2 * unit
    else:
        decay_steps = min(training.decay_epochs * steps_per_epoch, num_steps)
    return Length(steps_per_epoch, num_steps, -(-num_steps // steps_per_epoch), decay_steps, unit, global_batch)


class Session(NamedTuple):
    """The steps of a run from one start of the program to the end of the run.

    Attributes:
        first_step: steps that were complete before.
        first_sample: samples that the run had seen before.
        last_step: steps after which the run is complete.
        global_batch: samples of each step of this session, over all replicas.
    """

    first_step: int
    first_sample: int
    last_step: int
    global_batch: int

    @property
    def num_steps(self) -> int:
        """The number of steps that are left."""
        return self.last_step - self.first_step

    def samples(self, step: int) -> int:
        """The samples that the run has seen after `step` completed steps."""
        return self.first_sample + (step - self.first_step) * self.global_batch


def plan_session(length: Length, step: int, samples: int, global_batch: int) -> Session:
    """The session of a run that has completed `step` steps and seen `samples`. Its last step may go past the end."""
    left = -(-max(0, length.num_samples - samples) // global_batch)
    return Session(step, samples, step + left, global_batch)
