"""A trained generator in the format of another runtime, kept only where that runtime repeats what Keras computes."""

import dataclasses
import importlib.util
import json
import os
import pathlib
import shutil
import warnings
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

import cyclegan
from cyclegan.bundle import Bundle, BundleInfo, Direction
from cyclegan.errors import CycleganError, UsageError, first_line
from cyclegan.export.formats import Quantization, write_keras, write_litert, write_onnx, write_saved_model
from cyclegan.export.verify import LIMIT, NUM_IMAGES, Comparison, compare, load_images, round_up, sizes_to_try
from cyclegan.runtime.startup import silenced

Format = Literal["keras", "savedmodel", "litert", "onnx"]
Size = tuple[int, int] | Literal["dynamic"]
"""Height and width in pixels, or any."""

SUFFIXES: dict[Format, str] = {"keras": ".keras", "litert": ".tflite", "onnx": ".onnx"}
"""What the names of files end in; a SavedModel is a folder."""

EXTRAS: dict[Format, tuple[str, ...]] = {"onnx": ("onnx", "tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}
"""Packages of the extras, which have the names of the formats."""

NUM_CALIBRATION_IMAGES = 100


def export_generator(
    bundle: Bundle,
    direction: Direction,
    format_: Format,
    output: pathlib.Path,
    *,
    size: Size | None = None,
    quantize: Quantization | None = None,
    calibration: pathlib.Path | None = None,
    images: pathlib.Path | None = None,
) -> Comparison:
    """Writes the generator of one direction, and `<output>.json` beside it with what the comparison found.

    Both appear when the export has been loaded by its own runtime and has repeated what Keras computes.

    Args:
        bundle: with the direction.
        direction: "ab" or "ba".
        format_: "keras", "litert" and "onnx" map float32 [batch, height, width, channels] in [-1, 1] to the same; for
            "savedmodel" see `write_saved_model`.
        output: new; ends in the suffix of the format, but for a SavedModel, which is a folder.
        size: None: "dynamic" where the format can do it, else the size of the training crops.
        quantize: for "litert": "float16" weights, or "int8" weights and activations between inputs and outputs in
            float32.
        calibration: for "int8": a folder of images of the domain to translate.
        images: a folder of images to compare with; None: drawn scenes.

    Raises:
        UsageError: if the request contradicts itself or the bundle, `output` exists, or an extra is not installed.
        CycleganError: if the generator cannot be converted, the export differs by more than `LIMIT` without
            quantization, or cannot be written. Nothing is left then.
    """
    record = pathlib.Path(f"{output}.json")
    _check_request(format_, output, bundle.info, quantize, calibration)
    _refuse_existing(output, record)
    size = _resolve_size(size, format_, bundle.info)
    _require_extra(format_)
    model = bundle.generator(direction)
    fixed = None if size == "dynamic" else size
    sizes = sizes_to_try(fixed, bundle.info)

    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        # The others are cut out of the last size, which is the widest.
        pictures, source = load_images(images, NUM_IMAGES, bundle.info, direction, sizes[-1])
        samples: list[np.ndarray] = []
        if calibration:
            samples, _ = load_images(calibration, NUM_CALIBRATION_IMAGES, bundle.info, direction, sizes[0])
        temporary.mkdir()
        written = temporary / f"generator{SUFFIXES.get(format_, '')}"
        _write(model, format_, written, bundle.info, size, quantize, samples)
        limit = float("inf") if quantize else LIMIT
        comparison = compare(written, format_, model, bundle.info, pictures, fixed, limit)
        content = {
            "format": format_,
            "direction": direction,
            "quantize": quantize,
            "size": size,
            "file_bytes": _file_bytes(written),
            "weights_sha256": bundle.info.weights[direction].sha256,
            "cyclegan_version": cyclegan.__version__,
            "images": source,
            **dataclasses.asdict(comparison),
        }
        (temporary / "record").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        _refuse_existing(output, record)
        (temporary / "record").rename(record)
        written.rename(output)
    except OSError as error:
        raise CycleganError(f"{output} cannot be written: {error.strerror or first_line(error)}.") from error
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise CycleganError(
            f"{output} is not kept: to run it takes more memory than there is. Give a smaller `--size`."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return comparison


def _check_request(
    format_: Format, output: pathlib.Path, info: BundleInfo, quantize: str | None, calibration: pathlib.Path | None
) -> None:
    if quantize and format_ != "litert":
        raise UsageError(f"`--quantize` is for --format litert. Received: --format {format_}.")
    if (quantize == "int8") != (calibration is not None):
        raise UsageError(
            "`--quantize int8` and `--calibration FOLDER` belong together: the ranges of the activations are taken from"
            f" images. Received: --quantize {quantize or 'not given'}, --calibration {calibration or 'not given'}."
        )
    suffix = SUFFIXES.get(format_)
    if suffix and output.suffix != suffix:
        raise UsageError(f"`--output` must end in {suffix} for --format {format_}. Received: {output}.")
    if format_ == "savedmodel" and info.value_range not in (None, (0, 255)):
        raise UsageError(
            "A SavedModel takes 8-bit images, whose 0 and 255 become -1 and 1: `value_range` of the bundle must be null"
            f" or [0, 255]. Received: {list(info.value_range or ())}. Other formats take images that are scaled before."
        )


def _refuse_existing(*paths: pathlib.Path) -> None:
    for path in paths:
        if path.exists() or path.is_symlink():
            raise UsageError(f"`--output` and the .json beside it must not exist yet. Received: {path}.")


def _resolve_size(size: Size | None, format_: Format, info: BundleInfo) -> Size:
    """The size that is meant; checked."""
    generator = info.generator
    # LiteRT loses count of the channels where pixels are repeated.
    fixed = ("litert",) if generator.upsampling in ("bilinear", "nearest") else ()
    if size is None:
        crop = round_up(info.crop_size, info)
        return (crop, crop) if format_ in fixed else "dynamic"
    if size == "dynamic":
        if format_ in fixed:
            raise UsageError(
                f"`--size` must be a size in pixels for --format {format_} where `generator.upsampling` is"
                f" {generator.upsampling}. Received: dynamic."
            )
        return size
    if any(side != round_up(side, info) for side in size):
        raise UsageError(
            f"`--size` must be a multiple of {info.size_multiple} and at least {info.min_size} for this generator."
            f" Received: {size[0]}x{size[1]}."
        )
    return size


def _require_extra(format_: Format) -> None:
    missing = [name for name in EXTRAS.get(format_, ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{', '.join(missing)} is needed for --format {format_} and not installed. Install the extra `{format_}`:"
            f" pip install 'cyclegan[{format_}]'"
        )


def _write(
    model: keras.Model,
    format_: Format,
    path: pathlib.Path,
    info: BundleInfo,
    size: Size,
    quantize: Quantization | None,
    samples: list[np.ndarray],
) -> None:
    """Converts the model and writes it.

    Raises:
        CycleganError: if a library cannot do it.
    """
    height, width = (None, None) if size == "dynamic" else size
    try:
        # Converters print pages, and warn of what they themselves call in NumPy, Keras and TensorFlow.
        with silenced(1, 2), warnings.catch_warnings(action="ignore"):
            if format_ == "keras":
                write_keras(model, path, height, width)
            elif format_ == "savedmodel":
                write_saved_model(model, path, height, width, info.size_multiple, info.min_size)
            elif format_ == "onnx":
                write_onnx(model, path, height, width)
            else:
                write_litert(model, path, height, width, quantize, samples)
    except OSError:
        raise
    except Exception as error:  # converters raise whatever they like
        raise CycleganError(f"The generator cannot be converted to {format_}: {first_line(error)}") from error


def _file_bytes(path: pathlib.Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
