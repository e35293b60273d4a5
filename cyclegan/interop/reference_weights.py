"""Weights of the PyTorch implementation of Zhu et al. put into networks of this package, and taken out of them."""

from collections.abc import Mapping

import keras
import numpy as np

from cyclegan.config.networks import DiscriminatorConfig, GeneratorConfig
from cyclegan.errors import UsageError
from cyclegan.interop.reference_names import WEIGHTS, Arrays, layers_of, listed
from cyclegan.networks.weights import named_weights

COUNTER = "num_batches_tracked"
"""How many batches a norm has seen: kept by PyTorch beside running statistics, used for nothing here."""


def set_reference_weights(
    model: keras.Model, arrays: Arrays, config: GeneratorConfig | DiscriminatorConfig, source: str
) -> None:
    """Puts weights of the reference into a network of the same architecture.

    Running statistics of an instance norm, which old files have, are left out, as the reference itself does.

    Args:
        model: from `build_generator` or `build_discriminator`.
        arrays: weights by their names in the reference.
        config: what `model` was built from.
        source: what to call the weights in an error.

    Raises:
        UsageError: naming each weight that is missing, too many, or of another shape. `model` is then unchanged.
    """
    variables = named_weights(model)
    names = _weight_names(variables, config)
    ignored = {
        f"{layer.reference}.{statistic}"
        for layer in layers_of(config)
        for statistic in ("running_mean", "running_var", COUNTER)
    }
    problems = [f"`{name}` has no place" for name in sorted(arrays.keys() - names.keys() - ignored)]
    values = {}
    for name, ours in names.items():
        shape = tuple(variables[ours].shape)
        if name in arrays:
            value = arrays[name]
        elif config.normalization == "none" and ours.endswith("/bias"):
            value = np.zeros(shape, np.float32)  # without a norm the reference has no bias either
        else:
            problems.append(f"`{name}` is missing")
            continue
        values[ours] = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
        if values[ours].shape != shape:
            wanted = _to_reference(np.empty(shape)).shape
            problems.append(f"`{name}` must have shape {wanted}. Received: {value.shape}")
    if problems:
        raise UsageError(f"{source} cannot be mapped: {listed(problems)}.")
    for ours, value in values.items():
        variables[ours].assign(value)


def reference_arrays(
    model: keras.Model, config: GeneratorConfig | DiscriminatorConfig, source: str
) -> dict[str, np.ndarray]:
    """The weights of a network by their names in the reference, in its order: the way back of `set_reference_weights`.

    Args:
        model: from `build_generator` or `build_discriminator`.
        config: what `model` was built from.
        source: what to call the network in an error.

    Raises:
        UsageError: naming each weight that the reference does not have.
    """
    variables = named_weights(model)
    names = _weight_names(variables, config)
    last_bias = [name for name in names if name.endswith(".bias")][-1:]
    arrays, problems = {}, []
    for name, ours in names.items():
        value = variables[ours].numpy()
        if config.normalization == "none" and name.endswith(".bias") and name not in last_bias:
            # Without a norm the reference has no bias either: nothing is lost where it is zero.
            problems += [f"`{ours}`"] if value.any() else []
            continue
        arrays[name] = _to_reference(value)
        if name.endswith(".running_var"):
            arrays[name.replace("running_var", COUNTER)] = np.zeros((), np.int64)
    if problems:
        raise UsageError(f"{source}: without a norm the PyTorch implementation has no place for {listed(problems)}.")
    return arrays


def _weight_names(
    variables: Mapping[str, keras.Variable], config: GeneratorConfig | DiscriminatorConfig
) -> dict[str, str]:
    """Names in the reference, in its order, with the names here."""
    return {
        f"{layer.reference}.{theirs}": f"{layer.ours}/{mine}"
        for layer in layers_of(config)
        for theirs, mine in WEIGHTS
        if f"{layer.ours}/{mine}" in variables
    }


def _to_reference(value: np.ndarray) -> np.ndarray:
    """A kernel [height, width, in, out] as [out, in, height, width], transposed convolutions accordingly."""
    return np.ascontiguousarray(value.transpose(3, 2, 0, 1)) if value.ndim == 4 else value
