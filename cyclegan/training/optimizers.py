"""Optimizers as pure functions: from weights, gradients and moments to their new values.

Nothing is assigned here, so that a step can look at the new values before it takes them. The optimizers have no step
counter of their own. What all weights share, such as Adam's bias corrections, is computed once a step.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from cyclegan.config.sections import OptimizerConfig

Moments = tuple[tf.Tensor, ...]

Rule = Callable[..., tuple[tf.Tensor, Moments]]
"""Takes a weight, its gradient and its moments, and returns the change of the weight and the new moments."""

Factor = Callable[[tf.Tensor], tf.Tensor]
"""Turns a number that all weights share, float64, into the dtype of the weights."""


class Optimizer(NamedTuple):
    """An optimizer.

    Attributes:
        initial: the value that each of the moments of a weight starts with.
        rule: makes the rule of one step. Its arguments are the configuration, the learning rate and the number of the
            step, counted from 1, both float64, and a function that turns a factor into the dtype of the weights.
    """

    initial: tuple[float, ...]
    rule: Callable[[OptimizerConfig, tf.Tensor, tf.Tensor, Factor], Rule]


def _adam(config: OptimizerConfig, rate: tf.Tensor, number: tf.Tensor, factor: Factor) -> Rule:
    """Adam (Kingma and Ba 2015, algorithm 1), with epsilon added after the bias correction as in PyTorch.

        weight -= rate * m_hat / (sqrt(v_hat) + epsilon), m_hat = m / (1 - beta_1^t), v_hat = v / (1 - beta_2^t)

    The moments here are m / (1 - beta_1) and v / (1 - beta_2), which saves two operations for each weight. Their
    factors and the corrections are in two numbers that all weights share.
    """
    # In float64, because 1 - beta^t would lose four of seven digits in the first steps.
    betas = tf.constant([config.beta_1, config.beta_2], tf.float64)
    scale_1, scale_2 = tf.unstack((1 - betas) / (1 - tf.pow(betas, number)))  # from a moment here to m_hat or v_hat
    change, epsilon = factor(-rate * scale_1 / tf.sqrt(scale_2)), factor(config.epsilon / tf.sqrt(scale_2))
    beta_1, beta_2 = tf.unstack(factor(betas))

    def rule(weight: tf.Tensor, gradient: tf.Tensor, m: tf.Tensor, v: tf.Tensor) -> tuple[tf.Tensor, Moments]:
        m = beta_1 * m + gradient
        v = beta_2 * v + tf.square(gradient)
        return change * m / (tf.sqrt(v) + epsilon), (m, v)

    return rule


def _adamw(config: OptimizerConfig, rate: tf.Tensor, number: tf.Tensor, factor: Factor) -> Rule:
    """AdamW (Loshchilov and Hutter 2019, algorithm 2): each weight loses rate * weight_decay of itself."""
    adam, loss = _adam(config, rate, number, factor), factor(rate * config.weight_decay)

    def rule(weight: tf.Tensor, gradient: tf.Tensor, m: tf.Tensor, v: tf.Tensor) -> tuple[tf.Tensor, Moments]:
        change, moments = adam(weight, gradient, m, v)
        return change - loss * weight, moments

    return rule


def _sgd(config: OptimizerConfig, rate: tf.Tensor, number: tf.Tensor, factor: Factor) -> Rule:
    """Gradient descent."""
    size = factor(rate)
    return lambda weight, gradient: (-size * gradient, ())


def _momentum(config: OptimizerConfig, rate: tf.Tensor, number: tf.Tensor, factor: Factor) -> Rule:
    """Polyak 1964."""
    size = factor(rate)

    def rule(weight: tf.Tensor, gradient: tf.Tensor, velocity: tf.Tensor) -> tuple[tf.Tensor, Moments]:
        velocity = config.momentum * velocity - size * gradient
        return velocity, (velocity,)

    return rule


def _nesterov(config: OptimizerConfig, rate: tf.Tensor, number: tf.Tensor, factor: Factor) -> Rule:
    """Sutskever et al. 2013, eq. 3 and 4."""
    size = factor(rate)

    def rule(weight: tf.Tensor, gradient: tf.Tensor, velocity: tf.Tensor) -> tuple[tf.Tensor, Moments]:
        velocity = config.momentum * velocity - size * gradient
        return config.momentum * velocity - size * gradient, (velocity,)

    return rule


def _adagrad(config: OptimizerConfig, rate: tf.Tensor, number: tf.Tensor, factor: Factor) -> Rule:
    """Duchi et al. 2011, with epsilon inside of the root and sums that start at 0.1, as Keras has them."""
    size = factor(rate)

    def rule(weight: tf.Tensor, gradient: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, Moments]:
        total = total + tf.square(gradient)
        return -size * gradient / tf.sqrt(total + config.epsilon), (total,)

    return rule


def _rmsprop(config: OptimizerConfig, rate: tf.Tensor, number: tf.Tensor, factor: Factor) -> Rule:
    """Tieleman and Hinton 2012, with epsilon inside of the root; squared gradients decay by 0.9."""
    size = factor(rate)

    def rule(weight: tf.Tensor, gradient: tf.Tensor, mean: tf.Tensor) -> tuple[tf.Tensor, Moments]:
        mean = 0.9 * mean + 0.1 * tf.square(gradient)
        return -size * gradient / tf.sqrt(mean + config.epsilon), (mean,)

    return rule


def _adadelta(config: OptimizerConfig, rate: tf.Tensor, number: tf.Tensor, factor: Factor) -> Rule:
    """Zeiler 2012, algorithm 1; squares decay by 0.95. The paper has no learning rate, which means a rate of 1."""
    size = factor(rate)

    def rule(weight: tf.Tensor, gradient: tf.Tensor, g: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, Moments]:
        g = 0.95 * g + 0.05 * tf.square(gradient)
        change = -tf.sqrt(x + config.epsilon) / tf.sqrt(g + config.epsilon) * gradient
        return size * change, (g, 0.95 * x + 0.05 * tf.square(change))

    return rule


OPTIMIZERS = {
    "adam": Optimizer((0.0, 0.0), _adam),
    "adamw": Optimizer((0.0, 0.0), _adamw),
    "sgd": Optimizer((), _sgd),
    "momentum": Optimizer((0.0,), _momentum),
    "nesterov": Optimizer((0.0,), _nesterov),
    "adagrad": Optimizer((0.1,), _adagrad),
    "rmsprop": Optimizer((0.0,), _rmsprop),
    "adadelta": Optimizer((0.0, 0.0), _adadelta),
}
"""Optimizers by the value of `optimizer.name`."""


def clipped(gradients: Sequence[tf.Tensor], limit: float) -> list[tf.Tensor]:
    """The gradients, scaled down together if their norm is above `limit` (Pascanu et al. 2013, algorithm 1).

    The norm is the mean of those that the replicas find, because its last bits may differ between GPUs, and all
    replicas must make the same update.
    """
    replicas = tf.distribute.get_replica_context()
    norm = replicas.all_reduce(tf.distribute.ReduceOp.MEAN, tf.linalg.global_norm(gradients))
    scale = limit / tf.maximum(norm, limit)
    return [gradient * scale for gradient in gradients]


def optimize(
    config: OptimizerConfig,
    rate: tf.Tensor,
    number: tf.Tensor,
    weights: Sequence[tf.Tensor],
    gradients: Sequence[tf.Tensor],
    moments: Sequence[Moments],
) -> tuple[list[tf.Tensor], list[Moments]]:
    """One update of all weights.

    Args:
        config: names the optimizer, and holds its numbers.
        rate: float64, the learning rate.
        number: float64, the number of the step, counted from 1.
        weights: tensors of one dtype.
        gradients: the gradient of each weight, summed over the replicas.
        moments: the moments of each weight, as many as `Optimizer.initial` has.

    Returns:
        The new weights and the new moments.
    """
    rule = OPTIMIZERS[config.name].rule(config, rate, number, lambda value: tf.cast(value, weights[0].dtype))
    changed = [
        rule(weight, tf.cast(gradient, weight.dtype), *own)
        for weight, gradient, own in zip(weights, gradients, moments, strict=True)
    ]
    return [weight + change for weight, (change, _) in zip(weights, changed, strict=True)], [new for _, new in changed]
