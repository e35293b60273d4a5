"""Reads and writes the weights of one network as a PyTorch file with a state_dict: tensors with names."""

import io
import pathlib
import pickle
import warnings
import zipfile
from typing import Any

import numpy as np

from cyclegan.errors import CycleganError, UsageError, first_line
from cyclegan.interop.reference_names import listed
from cyclegan.runtime.atomic_files import write_atomically


def read_state_dict(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a PyTorch file by their names, without the prefix `module.` of parallel training.

    No code in the file is run.

    Raises:
        UsageError: if the file cannot be read, or holds anything but tensors with names.
        CycleganError: if PyTorch is missing.
    """
    torch = _import_torch()
    try:
        file = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        with warnings.catch_warnings(action="ignore"):  # PyTorch warns of unusual pickles that it then loads or refuses
            content = torch.load(file, map_location="cpu", weights_only=True)
        # PyTorch does not compare the contents of a zip archive with their checksums.
        damaged = zipfile.ZipFile(file).testzip() if zipfile.is_zipfile(file) else None
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{path} is refused: it is not a PyTorch file, or it holds objects other than tensors, which could run"
            " code. Save only the state_dict() of the network."
        ) from error
    except Exception as error:  # PyTorch and zipfile raise many kinds of exception
        raise UsageError(f"{path} is damaged, or is not a PyTorch file: {first_line(error)}") from error
    if damaged:
        raise UsageError(f"{path} is damaged: {damaged!r} does not match its checksum.")
    if not isinstance(content, dict) or not content:
        raise UsageError(f"{path} must hold a state_dict. Received: {type(content).__name__}.")
    others = [str(name) for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise UsageError(
            f"{path} must hold a state_dict with tensors only. These are not tensors:"
            f" {listed(f'`{name}`' for name in others)}."
        )
    arrays = {str(name): _plain_array(tensor) for name, tensor in content.items()}
    if unusable := [name for name, array in arrays.items() if array is None]:
        raise UsageError(
            f"{path} must hold dense tensors of finite floating-point numbers with 16, 32 or 64 bits. These are not:"
            f" {listed(f'`{name}`' for name in unusable)}."
        )
    return {name.removeprefix("module."): array for name, array in arrays.items() if array is not None}


def _plain_array(tensor: Any) -> np.ndarray | None:
    """Converts a tensor to weights in float32, or to the counter of a batch norm; None if it is neither."""
    import torch

    is_strided = tensor.layout == torch.strided and not tensor.is_nested and not tensor.is_meta
    # An expanded tensor repeats the numbers that it stores.
    if not is_strided or not 0 < tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes():
        return None
    if tensor.dtype == torch.int64:
        return tensor.numpy() if tensor.ndim == 0 else None
    if tensor.is_neg() or tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        return None
    array = tensor.detach().float().numpy()  # float64 can become infinite here
    return array if np.isfinite(array).all() else None


def write_state_dict(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays as tensors, after it has checked that PyTorch reads the same bits again.

    Raises:
        CycleganError: if PyTorch is missing, or reads other bits.
        OSError: if the file cannot be written.
    """
    torch = _import_torch()
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, buffer)
    buffer.seek(0)
    written = torch.load(buffer, weights_only=True)
    if list(written) != list(arrays) or any(
        written[name].numpy().tobytes() != arrays[name].tobytes() for name in arrays
    ):
        raise CycleganError(
            "The export to pytorch is not kept: PyTorch reads other weights than those that were written."
        )
    write_atomically(path, buffer.getvalue())


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise CycleganError(
            "PyTorch is needed, but it is not installed. Install the extra `pytorch`: pip install 'cyclegan[pytorch]'"
        ) from error
    return torch
