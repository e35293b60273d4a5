import keras
import numpy as np

from cyclegan.config import OptimizerConfig
from cyclegan.training.optimizers import build_optimizer
from cyclegan.training.schedules import LinearDecay


def test_adam_equals_the_algorithm_of_the_paper_with_epsilon_after_the_correction():
    gradients = np.random.default_rng(0).normal(size=(20, 3)) * [1, 1e-7, 1e-9]
    variable = keras.Variable(np.zeros(3), dtype="float64")
    optimizer = build_optimizer(OptimizerConfig(), LinearDecay(2e-4, 1, 1000, 0), "adam")
    optimizer.build([variable])
    x, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
    for step, gradient in enumerate(gradients, start=1):
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        m = 0.5 * m + 0.5 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        x -= 2e-4 * (m / (1 - 0.5**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    # Keras keeps the learning rate in float32, which is good for seven digits.
    np.testing.assert_allclose(variable.numpy(), x, rtol=2e-7)
