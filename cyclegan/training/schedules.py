"""Learning rates as functions of the step."""

import keras

from cyclegan.config import OptimizerConfig


class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Constant at first, then a linear decay, in steps of whole epochs.

        rate(epoch) = learning_rate * (1 - max(0, epoch + 1 - constant_epochs) / (decay_epochs + 1))

    with epochs counted from 0: the first decaying epoch is already below the full rate, the last one above zero.

    Source: Zhu et al. 2017, section 4 of the supplement, as its PyTorch implementation counts epochs.

    Args:
        learning_rate: rate of the constant epochs.
        steps_per_epoch: number of updates in an epoch.
        constant_epochs: number of epochs before the decay.
        decay_epochs: number of decaying epochs; 0 keeps the rate constant.
    """

    def __init__(self, learning_rate: float, steps_per_epoch: int, constant_epochs: int, decay_epochs: int):
        self.learning_rate = learning_rate
        self.steps_per_epoch = steps_per_epoch
        self.constant_epochs = constant_epochs
        self.decay_epochs = decay_epochs

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        """The rate of the update that follows `step` completed ones."""
        if not self.decay_epochs:
            return keras.ops.convert_to_tensor(self.learning_rate, "float64")
        epoch = keras.ops.cast(step // self.steps_per_epoch, "float64")
        decayed = keras.ops.maximum(0.0, epoch + 1 - self.constant_epochs) / (self.decay_epochs + 1)
        # A run that is continued past its last epoch must not climb back through negative rates.
        return self.learning_rate * keras.ops.maximum(0.0, 1.0 - decayed)

    def get_config(self) -> dict:
        """The arguments, for Keras."""
        return {
            "learning_rate": self.learning_rate,
            "steps_per_epoch": self.steps_per_epoch,
            "constant_epochs": self.constant_epochs,
            "decay_epochs": self.decay_epochs,
        }


def build_schedule(
    config: OptimizerConfig, steps_per_epoch: int, epochs: int, decay_epochs: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The schedule that `optimizer.schedule` names.

    Args:
        config: learning rate and name of the schedule.
        steps_per_epoch: number of updates in an epoch.
        epochs: length of the run.
        decay_epochs: how many of these decay, for "linear".
    """
    if config.schedule == "constant":
        decay_epochs = 0
    return LinearDecay(config.learning_rate, steps_per_epoch, epochs - decay_epochs, decay_epochs)
