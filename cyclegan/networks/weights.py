"""The weights of a network by name, and the file of plain arrays that carries them.

A file may come from anybody. Its headers are checked before its numbers are read, and nothing in it is unpickled or
decompressed.
"""

import io
import pathlib
import zipfile

import keras
import numpy as np

from cyclegan.errors import CycleganError


def named_weights(model: keras.Model) -> dict[str, keras.Variable]:
    """All weights of a network by layer and weight, such as `residual_1_conv_1/kernel`."""
    return {"/".join(variable.path.split("/")[-2:]): variable for variable in model.weights}


def encode_weights(model: keras.Model) -> bytes:
    """All weights as an uncompressed `.npz`, keyed by layer and weight, such as `residual_1_conv_1/kernel`."""
    buffer = io.BytesIO()
    np.savez(buffer, **{key: variable.numpy() for key, variable in named_weights(model).items()})
    return buffer.getvalue()


def read_shapes(data: bytes, path: pathlib.Path) -> dict[str, tuple[int, ...]]:
    """The shapes in an `.npz`, from its headers: what is compressed could become any number of bytes when read.

    Raises:
        CycleganError: if it is no uncompressed `.npz` of floating-point arrays.
    """
    shapes = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                key = entry.filename.removesuffix(".npy")
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"`{key}` is compressed")
                with archive.open(entry) as file:
                    version = np.lib.format.read_magic(file)
                    read_header = {(1, 0): np.lib.format.read_array_header_1_0}.get(version)
                    if not read_header:
                        raise ValueError(f"`{key}` is of version {version} of the format")
                    shape, _, dtype = read_header(file)
                if dtype.kind != "f":
                    raise ValueError(f"`{key}` must hold floating-point numbers. Received: {dtype}")
                shapes[key] = shape
    except Exception as error:  # NumPy raises whatever the zip reader does
        raise CycleganError(f"{path} holds no plain arrays: {error}") from error
    return shapes


def set_weights(model: keras.Model, data: bytes, received: dict[str, tuple[int, ...]], path: pathlib.Path) -> None:
    """Puts weights from `encode_weights` into a model of the same architecture; every one, and nothing else.

    Raises:
        CycleganError: if keys or shapes differ, or a weight is not finite.
    """
    variables = named_weights(model)
    expected = {key: tuple(variable.shape) for key, variable in variables.items()}
    if expected != received:
        wrong = sorted(key for key in expected.keys() | received.keys() if expected.get(key) != received.get(key))
        raise CycleganError(
            f"{path} does not fit the architecture. First of {len(wrong)} differences: `{wrong[0]}` must have shape"
            f" {expected.get(wrong[0])}. Received: {received.get(wrong[0])}."
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for key, variable in variables.items():
            if not np.isfinite(arrays[key]).all():
                raise CycleganError(f"{path} is of no use: `{key}` holds values that are not finite.")
            variable.assign(arrays[key])
