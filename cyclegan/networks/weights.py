"""The weights of a network by name, and the file of plain arrays that stores them.

A file may come from an unknown person. Its headers are checked before its numbers are read, and nothing in it is
unpickled or decompressed.
"""

import io
import pathlib
import zipfile
from collections.abc import Mapping

import keras
import numpy as np

from cyclegan.errors import CycleganError, first_line


def named_weights(model: keras.Model) -> dict[str, keras.Variable]:
    """All weights of a network under the names of their layer and weight, such as `residual_1_conv_1/kernel`."""
    return {"/".join(variable.path.split("/")[-2:]): variable for variable in model.weights}


def weight_arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """A copy of the values of all weights, under their names from `named_weights`."""
    return {key: variable.numpy() for key, variable in named_weights(model).items()}


def encode_weights(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Weights from `weight_arrays` as the content of an uncompressed `.npz` file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # no weight is called allow_pickle
    return buffer.getvalue()


def read_shapes(data: bytes, path: pathlib.Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays in an `.npz` file, read from its headers.

    Compressed arrays are refused, because a small file could then fill the memory.

    Args:
        data: content of the file.
        path: place of the file, for messages.

    Raises:
        CycleganError: if this is not an uncompressed `.npz` file of floating-point arrays.
    """
    shapes = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                key = entry.filename.removesuffix(".npy")
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"`{key}` is compressed")
                with archive.open(entry) as file:
                    if (version := np.lib.format.read_magic(file)) != (1, 0):
                        raise ValueError(f"`{key}` must have version (1, 0) of the format. Received: {version}")
                    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                if dtype.kind != "f":
                    raise ValueError(f"`{key}` must hold floating-point numbers. Received: {dtype}")
                shapes[key] = shape
    except Exception as error:  # damaged files raise many kinds of errors
        raise CycleganError(f"{path} is not a file of plain arrays: {error}") from error
    return shapes


def set_weights(model: keras.Model, data: bytes, received: dict[str, tuple[int, ...]], path: pathlib.Path) -> None:
    """Copies weights from `encode_weights` into a model of the same architecture.

    Args:
        model: the network that gets the weights.
        data: content of the file.
        received: shapes of the arrays in the file, from `read_shapes`.
        path: place of the file, for messages.

    Raises:
        CycleganError: if the file lacks a weight, has an additional or a differently shaped one, one with fewer numbers
            than its header says, or one with a value that is not finite.
    """
    variables = named_weights(model)
    expected = {key: tuple(variable.shape) for key, variable in variables.items()}
    if expected != received:
        wrong = sorted(key for key in expected.keys() | received.keys() if expected.get(key) != received.get(key))
        raise CycleganError(
            f"{path} does not fit the architecture. First of {len(wrong)} difference{'s' if len(wrong) > 1 else ''}:"
            f" `{wrong[0]}` must have shape {expected.get(wrong[0])}. Received: {received.get(wrong[0])}."
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for key, variable in variables.items():
            try:
                value = arrays[key]
            except Exception as error:  # damaged files raise many kinds of errors, also with an intact header
                raise CycleganError(f"{path} is damaged: `{key}` cannot be read: {first_line(error)}") from error
            if not np.isfinite(value).all():
                raise CycleganError(f"{path} cannot be used: `{key}` has values that are not finite.")
            variable.assign(value)
