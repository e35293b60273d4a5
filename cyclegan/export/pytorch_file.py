"""The format `pytorch`: a state_dict that the PyTorch implementation of Zhu et al. loads."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from cyclegan.errors import UsageError

if TYPE_CHECKING:
    import keras

    from cyclegan.bundles.info import BundleInfo
    from cyclegan.export.conversion import Conversion


def check_bundle(info: BundleInfo) -> None:
    """Checks that the PyTorch implementation has such a generator.

    Raises:
        UsageError: naming each key of the configuration that it does not have.
    """
    config = info.generator
    is_resnet, is_batch = config.architecture == "resnet", config.normalization == "batch"
    allowed: dict[str, tuple[object, ...]] = {
        "architecture": ("resnet", "unet"),
        "normalization": ("instance", "batch", "none"),
        "affine": (None, is_batch),
        "activation": (None, "relu") if is_resnet else (None,),
        "downsampling": ("strided",),
        "upsampling": ("transposed",),
        "padding": ("reflect",) if is_resnet else (config.padding,),
        "output": ("tanh",),
        "shortcut": ("none",) if is_resnet else (config.shortcut,),
        "start": ("random",),
    }
    problems = [
        f"`generator.{key}` must be {' or '.join('null' if value is None else str(value) for value in values)}."
        f" Received: {getattr(config, key)}"
        for key, values in allowed.items()
        if getattr(config, key) not in values
    ]
    if problems:
        raise UsageError(f"The PyTorch implementation does not have such a generator: {'; '.join(problems)}.")


def write(model: keras.Model, path: pathlib.Path, conversion: Conversion) -> None:
    """Writes the weights by their names in the PyTorch implementation.

    Raises:
        UsageError: if that implementation has no place for a weight.
        CycleganError: if PyTorch is missing, or reads other weights than those that were written.
    """
    from cyclegan.interop.reference_weights import reference_arrays
    from cyclegan.interop.state_dict import write_state_dict

    write_state_dict(path, reference_arrays(model, conversion.info.generator, "The generator"))
