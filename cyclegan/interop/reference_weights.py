"""Puts weights of the PyTorch implementation of Zhu et al. into networks of this package, and takes them out again."""

from collections.abc import Mapping

import keras
import numpy as np

from cyclegan.config.networks import DiscriminatorConfig, GeneratorConfig
from cyclegan.errors import UsageError
from cyclegan.interop.reference_names import WEIGHTS, Arrays, layers_of, listed
from cyclegan.networks.weights import named_weights

COUNTER = "num_batches_tracked"
"""The number of batches that a norm has seen. PyTorch stores it beside running statistics; this package ignores it."""


def set_reference_weights(
    model: keras.Model, arrays: Arrays, config: GeneratorConfig | DiscriminatorConfig, source: str
) -> None:
    """Puts weights of the reference into a network of the same architecture.

    Old files have running statistics of instance norms. They are ignored, as in the reference.

    Args:
        model: a network from `build_generator` or `build_discriminator`.
        arrays: the weights by their names in the reference.
        config: the configuration that `model` was built from.
        source: the name of the file of the weights, for messages.

    Raises:
        UsageError: if weights are missing, left over, or have another shape. The message names each of them, and
            `model` is not changed.
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
            value = np.zeros(shape, np.float32)  # without a norm the reference has no bias
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
    """Takes the weights out of a network: the reverse of `set_reference_weights`.

    Args:
        model: a network from `build_generator` or `build_discriminator`.
        config: the configuration that `model` was built from.
        source: the name of the network, for messages.

    Returns:
        The weights by their names in the reference, in the order of the reference.

    Raises:
        UsageError: if the reference does not have some of the weights. The message names each of them.
    """
    variables = named_weights(model)
    names = _weight_names(variables, config)
    last_bias = [name for name in names if name.endswith(".bias")][-1:]
    arrays, problems = {}, []
    for name, ours in names.items():
        value = variables[ours].numpy()
        if config.normalization == "none" and name.endswith(".bias") and name not in last_bias:
            # Without a norm the reference has no bias. Nothing is lost where it is zero.
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
    """Maps names in the reference, in its order, to names in this package."""
    return {
        f"{layer.reference}.{theirs}": f"{layer.ours}/{mine}"
        for layer in layers_of(config)
        for theirs, mine in WEIGHTS
        if f"{layer.ours}/{mine}" in variables
    }


def _to_reference(value: np.ndarray) -> np.ndarray:
    """Transposes a kernel from the axes of this package to the axes of the reference, see `WEIGHTS`."""
    return np.ascontiguousarray(value.transpose(3, 2, 0, 1)) if value.ndim == 4 else value
