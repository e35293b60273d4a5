"""Writes a trained generator for another runtime, and keeps it only if that runtime computes what Keras does."""

import dataclasses
import functools
import importlib.util
import json
import pathlib
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import keras
import tensorflow as tf

import cyclegan
from cyclegan.bundles.bundle import Bundle
from cyclegan.bundles.info import BundleInfo, Direction
from cyclegan.errors import CycleganError, UsageError, first_line
from cyclegan.export.conversion import Conversion, Quantization
from cyclegan.export.formats import FORMATS
from cyclegan.export.images import load_images, round_up, sizes_to_try
from cyclegan.export.verify import LIMIT, Comparison, compare
from cyclegan.runtime.atomic_files import temporary_beside
from cyclegan.runtime.startup import silenced

ExportSize = tuple[int, int] | Literal["dynamic"]
"""Height and width in pixels; "dynamic": any."""

NUM_IMAGES = 3
NUM_CALIBRATION_IMAGES = 100


def export_generator(
    bundle: Bundle,
    direction: Direction,
    format_: str,
    output: pathlib.Path,
    *,
    size: ExportSize | None = None,
    quantize: Quantization | None = None,
    calibration: pathlib.Path | None = None,
    images: pathlib.Path | None = None,
) -> Comparison | None:
    """Writes the generator of one direction, and the result of the comparison to `<output>.json` beside it.

    Both files appear after the export's own runtime has loaded it and has computed what Keras computes.

    Args:
        bundle: a bundle that has the direction.
        direction: "ab" or "ba".
        format_: a key of `FORMATS`.
        output: the new file, or the new folder for a SavedModel. The name of a file must end in the suffix of the
            format, except for "pytorch".
        size: the height and width of the images. None: "dynamic" if the format can do that, otherwise the size of the
            training crops.
        quantize: how numbers are made smaller, for "litert": "float16" weights, or "int8" weights and activations.
        calibration: for "int8": a folder with images of the domain that is translated.
        images: a folder with images for the comparison. None: drawn scenes.

    Returns:
        The result of the comparison; None for a format that holds weights alone, which is not compared.

    Raises:
        UsageError: if the request contradicts itself or the bundle, `output` exists, or an extra is not installed.
        CycleganError: if the generator cannot be converted, the export differs by more than `LIMIT` without
            quantization, or it cannot be written. Nothing is left then.
    """
    _check_options(format_, size=size, quantize=quantize, calibration=calibration, images=images)
    _check_output(format_, output, bundle.info)
    size = _resolve_size(size, format_, bundle.info)
    _require_extra(format_)
    model = bundle.generator(direction)

    fixed = None if size == "dynamic" else size
    sizes = sizes_to_try(fixed, bundle.info)
    is_compared = FORMATS[format_].load is not None
    comparison = None
    with _temporary_folder(output) as folder:
        load = functools.partial(load_images, info=bundle.info, direction=direction)
        # Images of the other sizes are cut out of those of the last size, which is the widest.
        pictures, source = load(images, NUM_IMAGES, size=sizes[-1]) if is_compared else ([], "")
        samples = load(calibration, NUM_CALIBRATION_IMAGES, size=sizes[0])[0] if calibration else []
        written, record = folder / f"generator{FORMATS[format_].suffix}", folder / "record"
        _write(model, format_, written, Conversion(bundle.info, fixed, quantize, samples))
        if is_compared:
            limit = float("inf") if quantize else LIMIT
            comparison = compare(written, format_, model, bundle.info, pictures, fixed, limit)
            request = {"format": format_, "direction": direction, "quantize": quantize, "size": size}
            _write_record(record, request, written, bundle.info.weights[direction].sha256, source, comparison)
        _refuse_existing(format_, output)
        _publish(written, record if is_compared else None, output)
    return comparison


def _publish(written: pathlib.Path, record: pathlib.Path | None, output: pathlib.Path) -> None:
    """Gives the export and its record their names. If this is interrupted, none of them stays."""
    try:
        if record:
            record.rename(_record_of(output))
        written.rename(output)
    except BaseException:
        if record and written.exists() and not record.exists():
            _record_of(output).unlink()
        raise


def _check_options(format_: str, **options: object) -> None:
    """Checks the options that not every format has, and those that belong together."""
    entry = FORMATS[format_]
    for name, value in options.items():
        if value is not None and entry.load is None:
            raise UsageError(f"`--{name}` is not for --format {format_}. Leave it out.")
    quantize, calibration = options["quantize"], options["calibration"]
    if quantize and quantize not in entry.quantizations:
        able = [name for name, other in FORMATS.items() if quantize in other.quantizations]
        raise UsageError(f"`--quantize {quantize}` is for --format {' or '.join(able)}. Received: --format {format_}.")
    if (quantize == "int8") != (calibration is not None):
        raise UsageError(
            "`--quantize int8` and `--calibration FOLDER` must be given together: the ranges of the activations are"
            f" taken from images. Received: --quantize {quantize or 'not given'}, --calibration"
            f" {calibration or 'not given'}."
        )


def _check_output(format_: str, output: pathlib.Path, info: BundleInfo) -> None:
    entry = FORMATS[format_]
    if entry.suffix and entry.requires_suffix and output.suffix != entry.suffix:
        raise UsageError(f"`--output` must end in {entry.suffix} for --format {format_}. Received: {output}.")
    if entry.check_bundle:
        entry.check_bundle(info)
    _refuse_existing(format_, output)


def _record_of(output: pathlib.Path) -> pathlib.Path:
    """The file beside an export that holds the result of the comparison."""
    return pathlib.Path(f"{output}.json")


def _refuse_existing(format_: str, output: pathlib.Path) -> None:
    is_compared = FORMATS[format_].load is not None
    for path in [output, _record_of(output)] if is_compared else [output]:
        if path.exists() or path.is_symlink():
            what = "`--output` and the .json file beside it" if is_compared else "`--output`"
            raise UsageError(f"{what} must not exist yet. Received: {path}.")


def _resolve_size(size: ExportSize | None, format_: str, info: BundleInfo) -> ExportSize:
    """The size that the request means, after it has been checked."""
    generator = info.generator
    must_be_fixed = generator.upsampling in FORMATS[format_].upsamplings_of_fixed_size
    if size is None:
        crop = round_up(info.crop_size, info)
        return (crop, crop) if must_be_fixed else "dynamic"
    if size == "dynamic":
        if must_be_fixed:
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


def _require_extra(format_: str) -> None:
    missing = [name for name in FORMATS[format_].packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--format {format_} needs {', '.join(missing)}, which must be installed. Install the extra `{format_}`:"
            f" pip install 'cyclegan[{format_}]'"
        )


@contextmanager
def _temporary_folder(output: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder beside `output`, which is removed in the end.

    Raises:
        CycleganError: if files cannot be written, or the memory is exhausted.
    """
    folder = temporary_beside(output)
    try:
        folder.mkdir()
        yield folder
    except OSError as error:
        raise CycleganError(f"{output} cannot be written: {error.strerror or first_line(error)}.") from error
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise CycleganError(
            f"{output} is not kept: running it takes more memory than is available. Give a smaller `--size`."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(model: keras.Model, format_: str, path: pathlib.Path, conversion: Conversion) -> None:
    """Converts the model and writes it.

    Raises:
        CycleganError: if a library cannot do it.
    """
    try:
        # Converters print pages of text, and cause warnings in NumPy, Keras and TensorFlow.
        with silenced(1, 2), warnings.catch_warnings(action="ignore"):
            FORMATS[format_].write(model, path, conversion)
    except (OSError, CycleganError):
        raise
    except Exception as error:  # converters raise any kind of exception
        raise CycleganError(f"The generator cannot be converted to {format_}: {first_line(error)}") from error


def _write_record(
    path: pathlib.Path,
    request: Mapping[str, object],
    export: pathlib.Path,
    weights_sha256: str,
    source: str,
    comparison: Comparison,
) -> None:
    """Writes what was exported, and the result of the comparison."""
    files = export.rglob("*") if export.is_dir() else [export]
    content = {
        **request,
        "file_bytes": sum(file.stat().st_size for file in files if file.is_file()),
        "weights_sha256": weights_sha256,
        "cyclegan_version": cyclegan.__version__,
        "images": source,
        **dataclasses.asdict(comparison),
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
