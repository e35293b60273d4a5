"""Files of PyTorch that hold the weights of one network: a state_dict, which is named tensors."""

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
    """The arrays of a PyTorch file by their names, `module.` of parallel training taken off. Runs no code of the file.

    Raises:
        UsageError: if the file cannot be read, or holds anything but named tensors.
        CycleganError: if PyTorch is missing.
    """
    torch = _import_torch()
    try:
        file = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        with warnings.catch_warnings(action="ignore"):  # about unusual pickles, which either load or are refused
            content = torch.load(file, map_location="cpu", weights_only=True)
        # What is read of a zip archive is not compared with its checksums.
        damaged = zipfile.ZipFile(file).testzip() if zipfile.is_zipfile(file) else None
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{path} is refused: it is no file of PyTorch, or holds something else than tensors, which could run code."
            " Save the state_dict() of the network alone."
        ) from error
    except Exception as error:  # PyTorch and zipfile raise whatever their readers do
        raise UsageError(f"{path} is damaged, or no file of PyTorch: {first_line(error)}") from error
    if damaged:
        raise UsageError(f"{path} is damaged: {damaged!r} does not fit its checksum.")
    if not isinstance(content, dict) or not content:
        raise UsageError(f"{path} must hold a state_dict. Received: {type(content).__name__}.")
    others = [str(name) for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise UsageError(
            f"{path} must hold a state_dict with tensors only. Not tensors: {listed(f'`{name}`' for name in others)}."
        )
    arrays = {str(name): _plain_array(tensor) for name, tensor in content.items()}
    if unusable := [name for name, array in arrays.items() if array is None]:
        raise UsageError(
            f"{path} must hold dense tensors of finite floating-point numbers of 16, 32 or 64 bits. Others: "
            f"{listed(f'`{name}`' for name in unusable)}."
        )
    return {name.removeprefix("module."): array for name, array in arrays.items() if array is not None}


def _plain_array(tensor: Any) -> np.ndarray | None:
    """A tensor of PyTorch as weights in float32, or as the counter of a batch norm; None if it is neither."""
    import torch

    is_strided = tensor.layout == torch.strided and not tensor.is_nested and not tensor.is_meta
    # An expanded tensor claims more numbers than it has.
    if not is_strided or not 0 < tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes():
        return None
    if tensor.dtype == torch.int64:
        return tensor.numpy() if tensor.ndim == 0 else None
    if tensor.is_neg() or tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        return None
    array = tensor.detach().float().numpy()  # float64 can become infinite here
    return array if np.isfinite(array).all() else None


def write_state_dict(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays as tensors by their names, once PyTorch has read them again without a change of a single bit.

    Raises:
        CycleganError: if PyTorch is missing, or what it reads differs.
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
            "PyTorch is needed for this and not installed. Install the extra `pytorch`: pip install 'cyclegan[pytorch]'"
        ) from error
    return torch
