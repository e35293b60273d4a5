"""Tools for the tests of networks. They are fixtures that return functions, so that test modules can share them."""

from typing import get_args

import keras
import numpy as np
import pytest

from cyclegan.config.networks import GeneratorConfig
from cyclegan.networks import blocks

RNG = np.random.default_rng(0)


def _style(*, padding="zero", spectral_norm=False, **options):
    return blocks.style_of(GeneratorConfig(**options), "float64", padding=padding, spectral_norm=spectral_norm)


def _run(block, x, *arguments, training=False, **options):
    """The output of a block, and its random weights under their names."""
    image = keras.Input((None, None, x.shape[-1]), dtype="float64")
    model = keras.Model(image, block(image, *arguments, **options))
    for variable in model.weights:
        variable.assign(RNG.uniform(0.1, 1, size=variable.shape) * RNG.choice([-1, 1], size=variable.shape))
    weights = {variable.name: variable.numpy() for variable in model.weights}
    return model(x, training=training).numpy(), weights


def _windows(x, size, stride):
    """Yields (i, j, window [batch, size, size, channels]) for each position of a window, without padding."""
    for i in range((x.shape[1] - size) // stride + 1):
        for j in range((x.shape[2] - size) // stride + 1):
            yield i, j, x[:, i * stride : i * stride + size, j * stride : j * stride + size]


def _same_convolution(x, weights):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros((*x.shape[:3], weights["kernel"].shape[-1]))
    for i, j, window in _windows(padded, 3, 1):
        y[:, i, j] = np.einsum("bhwc,hwcf->bf", window, weights["kernel"]) + weights["bias"]
    return y


def _allowed(section, key):
    annotation = section.model_fields[key].annotation
    nested = [get_args(part) or (part,) for part in get_args(annotation)]
    return {value for values in nested for value in values} - {type(None)}


@pytest.fixture
def allowed():
    """The values that a key of the configuration may have, beside null."""
    return _allowed


@pytest.fixture
def style():
    return _style


@pytest.fixture
def run():
    return _run


@pytest.fixture
def windows():
    return _windows


@pytest.fixture
def same_convolution():
    return _same_convolution
