"""Each optimizer against its paper's algorithm, in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config.sections import OptimizerConfig
from cyclegan.training.optimizers import OPTIMIZERS, optimize

RATE = 0.1
START = np.array([1.0, -2.0, 3.0])
GRADIENTS = np.random.default_rng(0).normal(size=(20, 3)) * [1, 0.1, 1e-3]


def optimized(name, gradients, dtype="float64", **options):
    config = OptimizerConfig(name=name, **options)
    rate = tf.constant(config.learning_rate, tf.float64)
    weights = [tf.constant(START, dtype)]
    moments = [tuple(tf.fill([3], tf.constant(value, dtype)) for value in OPTIMIZERS[name].initial)]
    for number, gradient in enumerate(gradients, start=1):
        step = tf.constant(number, tf.float64)
        weights, moments = optimize(config, rate, step, weights, [tf.constant(gradient, dtype)], moments)
    return weights[0].numpy()


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
    expected = ALGORITHMS[name]()
    np.testing.assert_allclose(optimized(name, GRADIENTS, learning_rate=RATE) - START, expected - START, rtol=1e-11)


def test_adam_has_its_epsilon_after_the_correction():
    gradients = GRADIENTS * [1, 1e-6, 1e-6]  # where epsilon counts
    expected = adam(START, gradients, 2e-4)
    np.testing.assert_allclose(optimized("adam", gradients) - START, expected - START, rtol=1e-11)


def test_keys_of_the_configuration_reach_their_optimizer():
    slow = optimized("momentum", GRADIENTS, learning_rate=RATE, momentum=0.5)
    np.testing.assert_allclose(slow - START, sgd(START, GRADIENTS, momentum=0.5) - START, rtol=1e-11)
    decayed = optimized("adamw", GRADIENTS, learning_rate=RATE, weight_decay=0.3, beta_1=0.8)
    np.testing.assert_allclose(decayed, adam(START, GRADIENTS, RATE, decay=0.3, beta_1=0.8), rtol=1e-11)


@pytest.mark.parametrize("betas", [{"beta_1": 0.0}, {"beta_2": 0.0}, {"beta_1": 0.0, "beta_2": 0.0}])
def test_adam_with_a_beta_of_zero_is_the_algorithm(betas):
    expected = adam(START, GRADIENTS, 2e-4, **betas)
    np.testing.assert_allclose(optimized("adam", GRADIENTS, **betas) - START, expected - START, rtol=1e-11)


def test_the_bias_corrections_are_right_in_float32_from_the_first_step():
    for count in (1, 2, 20):
        expected = adam(START, GRADIENTS[:count], RATE)
        received = optimized("adam", GRADIENTS[:count], "float32", learning_rate=RATE)
        np.testing.assert_allclose(received, expected, rtol=1e-6)
