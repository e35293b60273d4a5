"""Each optimizer against its paper's algorithm, in NumPy."""

import keras
import numpy as np
import pytest

from cyclegan.config.sections import OptimizerConfig
from cyclegan.training.optimizers import OPTIMIZERS, build_optimizer
from cyclegan.training.schedules import build_schedule

RATE = 0.1
START = np.array([1.0, -2.0, 3.0])
GRADIENTS = np.random.default_rng(0).normal(size=(20, 3)) * [1, 0.1, 1e-3]


def optimized(name, gradients, **options):
    config = OptimizerConfig(name=name, schedule="constant", **options)
    variable = keras.Variable(START, dtype="float64")
    optimizer = build_optimizer(config, build_schedule(config, 1, 1000, 0), "optimizer")
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    return variable.numpy()


def adam(x, gradients, rate, decay=0.0, beta_1=0.5, beta_2=0.999, epsilon=1e-8):
    m, v = np.zeros(3), np.zeros(3)
    for step, gradient in enumerate(gradients, start=1):
        x = x - rate * decay * x
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        x = x - rate * (m / (1 - beta_1**step)) / (np.sqrt(v / (1 - beta_2**step)) + epsilon)
    return x


def sgd(x, gradients, momentum=0.0, nesterov=False):
    velocity = np.zeros(3)
    for gradient in gradients:
        velocity = momentum * velocity - RATE * gradient
        x = x + (momentum * velocity - RATE * gradient if nesterov else velocity)
    return x


def adagrad(x, gradients):
    total = np.full(3, 0.1)
    for gradient in gradients:
        total = total + gradient**2
        x = x - RATE * gradient / np.sqrt(total + 1e-8)
    return x


def rmsprop(x, gradients):
    mean = np.zeros(3)
    for gradient in gradients:
        mean = 0.9 * mean + 0.1 * gradient**2
        x = x - RATE * gradient / np.sqrt(mean + 1e-8)
    return x


def adadelta(x, gradients):
    squares, updates = np.zeros(3), np.zeros(3)
    for gradient in gradients:
        squares = 0.95 * squares + 0.05 * gradient**2
        update = -np.sqrt(updates + 1e-8) / np.sqrt(squares + 1e-8) * gradient
        updates = 0.95 * updates + 0.05 * update**2
        x = x + RATE * update
    return x


ALGORITHMS = {
    "adam": lambda: adam(START, GRADIENTS, RATE),
    "adamw": lambda: adam(START, GRADIENTS, RATE, decay=0.01),
    "sgd": lambda: sgd(START, GRADIENTS),
    "momentum": lambda: sgd(START, GRADIENTS, momentum=0.9),
    "nesterov": lambda: sgd(START, GRADIENTS, momentum=0.9, nesterov=True),
    "adagrad": lambda: adagrad(START, GRADIENTS),
    "rmsprop": lambda: rmsprop(START, GRADIENTS),
    "adadelta": lambda: adadelta(START, GRADIENTS),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_is_the_algorithm_of_its_paper(name):
    # Keras keeps the learning rate in float32, which is good for seven digits.
    expected = ALGORITHMS[name]()
    np.testing.assert_allclose(optimized(name, GRADIENTS, learning_rate=RATE) - START, expected - START, rtol=1e-6)


def test_adam_has_its_epsilon_after_the_correction():
    gradients = GRADIENTS * [1, 1e-6, 1e-6]  # where epsilon counts
    expected = adam(START, gradients, 2e-4)
    np.testing.assert_allclose(optimized("adam", gradients) - START, expected - START, rtol=2e-7)


def test_keys_of_the_configuration_reach_their_optimizer():
    slow = optimized("momentum", GRADIENTS, learning_rate=RATE, momentum=0.5)
    np.testing.assert_allclose(slow - START, sgd(START, GRADIENTS, momentum=0.5) - START, rtol=1e-6)
    decayed = optimized("adamw", GRADIENTS, learning_rate=RATE, weight_decay=0.3, beta_1=0.8)
    np.testing.assert_allclose(decayed, adam(START, GRADIENTS, RATE, decay=0.3, beta_1=0.8), rtol=1e-6)
