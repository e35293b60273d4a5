"""The optimizers of Keras, and an Adam that adds epsilon where PyTorch does."""

import math
from collections.abc import Callable
from typing import Any

import keras

from cyclegan.config.sections import OptimizerConfig


class Adam(keras.optimizers.Adam):  # type: ignore[misc]  # Keras ships no types
    """Adam (Kingma and Ba 2015, algorithm 1), with epsilon added after the bias correction of the second moment.

        variable -= learning_rate * m_hat / (sqrt(v_hat) + epsilon)

    Keras adds it before the correction ("epsilon hat" in section 2 of the paper). Its trajectories therefore differ
    from the trajectories of the PyTorch implementation by 1e-4 after a few steps.
    """

    def update_step(
        self, gradient: keras.KerasTensor, variable: keras.Variable, learning_rate: keras.KerasTensor
    ) -> None:
        """Updates one variable and its two moments."""
        ops = keras.ops
        learning_rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        # expm1 gives 1 - beta^step exactly. In float32 the plain difference is off by 1e-4 in the first steps.
        correction_1 = -ops.expm1(step * math.log(self.beta_1))
        correction_2 = -ops.expm1(step * math.log(self.beta_2))

        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (ops.square(gradient) - v) * (1 - self.beta_2))
        denominator = ops.sqrt(v / correction_2) + self.epsilon
        self.assign_sub(variable, learning_rate * (m / correction_1) / denominator)


def _adam(config: OptimizerConfig, **options: Any) -> keras.optimizers.Optimizer:
    return Adam(beta_1=config.beta_1, beta_2=config.beta_2, epsilon=config.epsilon, **options)


OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adam": _adam,
    # Loshchilov and Hutter 2019, algorithm 2: the weights lose learning_rate * weight_decay of themselves.
    "adamw": lambda config, **options: _adam(config, weight_decay=config.weight_decay, **options),
    "sgd": lambda config, **options: keras.optimizers.SGD(**options),
    # Polyak 1964.
    "momentum": lambda config, **options: keras.optimizers.SGD(momentum=config.momentum, **options),
    # Sutskever et al. 2013, eq. 3 and 4.
    "nesterov": lambda config, **options: keras.optimizers.SGD(momentum=config.momentum, nesterov=True, **options),
    # Duchi et al. 2011, with sums that start at 0.1 as Keras has them.
    "adagrad": lambda config, **options: keras.optimizers.Adagrad(epsilon=config.epsilon, **options),
    # Tieleman and Hinton 2012; squared gradients decay by 0.9.
    "rmsprop": lambda config, **options: keras.optimizers.RMSprop(rho=0.9, epsilon=config.epsilon, **options),
    # Zeiler 2012, algorithm 1; squares decay by 0.95. The paper has no learning rate, which means a rate of 1.
    "adadelta": lambda config, **options: keras.optimizers.Adadelta(rho=0.95, epsilon=config.epsilon, **options),
}
"""Optimizers by the value of `optimizer.name`. Each takes the configuration and the options that Keras knows."""


def build_optimizer(
    config: OptimizerConfig, learning_rate: keras.optimizers.schedules.LearningRateSchedule, name: str
) -> keras.optimizers.Optimizer:
    """The optimizer that `optimizer.name` names. It is not built for any variables yet."""
    return OPTIMIZERS[config.name](config, learning_rate=learning_rate, name=name)
