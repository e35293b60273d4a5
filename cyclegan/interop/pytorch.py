"""Generators from and to files of the PyTorch implementation of Zhu et al."""

import hashlib
import io
import pathlib
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from cyclegan.bundle import Bundle, Direction, WeightsFile, bundle_info, save_bundle
from cyclegan.config.config import Config
from cyclegan.config.files import load_config
from cyclegan.config.sections import DiscriminatorConfig, GeneratorConfig
from cyclegan.errors import CycleganError, UsageError, first_line
from cyclegan.interop.reference_names import (
    WEIGHTS,
    Arrays,
    GeneratorDescription,
    describe_generator,
    layers_of,
    listed,
)
from cyclegan.networks.generators import build_generator
from cyclegan.networks.weights import named_weights
from cyclegan.runtime.atomic_files import write_atomically

COUNTER = "num_batches_tracked"
"""How many batches a norm has seen: kept by PyTorch beside running statistics, used for nothing here."""


def import_pytorch(files: Mapping[Direction, pathlib.Path], output: pathlib.Path, crop_size: int | None = None) -> str:
    """Writes a bundle with the generators of PyTorch files.

    Args:
        files: one for each direction, as `torch.save(network.state_dict(), file)` writes them.
        output: the folder of the bundle; new or empty.
        crop_size: pixels of the crops that they were trained with; None: what the reference takes for the depth.

    Returns:
        What was found, in one line.

    Raises:
        UsageError: if a file cannot be read or mapped, the directions do not fit each other, or `output` is in use.
        CycleganError: if PyTorch is missing, or the bundle cannot be written.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"`--output` must be a new or empty folder. Received: {output}.")
    arrays = {direction: read_state_dict(path) for direction, path in files.items()}
    found = {direction: describe_generator(arrays[direction], str(path)) for direction, path in files.items()}
    descriptions = [one if direction == "ab" else _reversed(one) for direction, one in found.items()]
    if any(one != descriptions[0] for one in descriptions):
        raise UsageError(
            "Both directions of a bundle must be alike. Received: "
            + "; ".join(f"{files[direction]}: {one.summary()}" for direction, one in found.items())
        )
    config = descriptions[0].config
    models = {}
    for direction, path in files.items():
        models[direction] = build_generator(config, *found[direction][1:], name=f"generator_{direction}")
        set_reference_weights(models[direction], arrays[direction], config, str(path))

    info = bundle_info(_config_of(descriptions[0], files, crop_size), step=0)
    info.provenance.config = {}  # how they were trained is not known
    info.provenance.imported_from = {
        direction: WeightsFile(file=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for direction, path in files.items()
    }
    is_new = not output.exists()
    try:
        save_bundle(output, models, info)
    except OSError as error:
        # What is left would be in the way of the next attempt.
        for path in output.glob("generator_*.npz"):
            path.unlink(missing_ok=True)
        if is_new:
            shutil.rmtree(output, ignore_errors=True)
        raise CycleganError(f"The bundle {output} cannot be written: {error.strerror}.") from error
    return descriptions[0].summary()


def export_pytorch(bundle: Bundle, direction: Direction, output: pathlib.Path) -> None:
    """Writes the generator of one direction as a state_dict that the PyTorch implementation loads.

    Args:
        bundle: with the direction.
        direction: "ab" or "ba".
        output: the file, new.

    Raises:
        UsageError: if the reference has no such generator, or `output` exists.
        CycleganError: if PyTorch is missing, or the file cannot be written, or does not hold the same bits.
    """
    if output.exists():
        raise UsageError(f"`--output` must not exist yet. Received: {output}.")
    config = bundle.info.generator
    if problems := _not_in_reference(config):
        raise UsageError(f"The PyTorch implementation has no such generator: {'; '.join(problems)}.")
    torch = _import_torch()
    arrays = reference_arrays(bundle.generator(direction), config, str(bundle.folder))
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, buffer)
    buffer.seek(0)
    written = torch.load(buffer, weights_only=True)
    if list(written) != list(arrays) or any(
        written[name].numpy().tobytes() != arrays[name].tobytes() for name in arrays
    ):
        raise CycleganError(f"{output} is not kept: read again, its weights differ from those of {bundle.folder}.")
    try:
        write_atomically(output, buffer.getvalue())
    except OSError as error:
        raise CycleganError(f"{output} cannot be written: {error.strerror}.") from error


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


def _not_in_reference(config: GeneratorConfig) -> list[str]:
    """What the reference cannot do, key by key."""
    is_batch = config.normalization == "batch"
    allowed: dict[str, tuple[object, ...]] = {
        "normalization": ("instance", "batch", "none"),
        "affine": (None, is_batch),
        "activation": (None, "relu") if config.architecture == "resnet" else (None,),
        "downsampling": ("strided",),
        "upsampling": ("transposed",),
        "padding": ("reflect",) if config.architecture == "resnet" else (config.padding,),
        "output": ("tanh",),
    }
    return [
        f"`generator.{key}` must be {' or '.join('null' if value is None else str(value) for value in values)}."
        f" Received: {getattr(config, key)}"
        for key, values in allowed.items()
        if getattr(config, key) not in values
    ]


def _reversed(description: GeneratorDescription) -> GeneratorDescription:
    return GeneratorDescription(description.config, description.channels_out, description.channels_in)


def _config_of(
    description: GeneratorDescription, files: Mapping[Direction, pathlib.Path], crop_size: int | None
) -> Config:
    generator = description.config
    if crop_size is None:
        reference_size = 256 if generator.num_blocks >= 9 else 128
        crop_size = generator.size_multiple if generator.architecture == "unet" else reference_size
    return load_config(
        None,
        [
            *((f"generator.{key}", value) for key, value in generator.model_dump().items()),
            ("data.dataset", "+".join(path.stem for path in files.values())),
            ("data.channels_a", description.channels_in),
            ("data.channels_b", description.channels_out),
            ("data.load_size", crop_size),
            ("data.crop_size", crop_size),
            ("losses.identity_weight", 0.5 if description.channels_in == description.channels_out else 0.0),
            ("discriminator.architecture", "pixel"),  # which none was imported, and which asks for no size
        ],
    )


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise CycleganError(
            "PyTorch is needed for this and not installed. Install the extra `pytorch`: pip install 'cyclegan[pytorch]'"
        ) from error
    return torch
