"""An exported generator against the Keras model that it was made from: the same images, each by its own runtime."""

import io
import math
import os
import pathlib
import pickle
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from cyclegan.bundle import BundleInfo, Direction
from cyclegan.data.decoding import decode, read_image
from cyclegan.data.encoding import encode
from cyclegan.data.listing import SUFFIXES, list_images
from cyclegan.data.scenes import draw_scene
from cyclegan.errors import CycleganError, UsageError

LIMIT = 1e-4
"""Largest difference of an export in float32, on the scale from -1 to 1."""

NUM_IMAGES = 3
ROUNDS = 5
CUSTOM_LAYERS = "cyclegan.networks.layers"
_RUNTIMES = pathlib.Path(__file__).with_name("runtimes.py")

Run = Callable[[str, Any], tuple[Any, float]]
"""From (signature, input) to (output, seconds)."""


@dataclass(frozen=True)
class Comparison:
    """What came of running the export beside Keras.

    Attributes:
        runtime: what ran the export.
        runtime_version: of that.
        shapes: [batch, height, width, channels] of each input.
        largest_difference: of the outputs, on the scale from -1 to 1.
        psnr_db: peak signal-to-noise ratio for the range of 2; None where nothing differs.
        keras_seconds: median time of Keras for the first input, compiled to a graph, on the CPU.
        export_seconds: that of the export; runs of both alternate.
        speed_ratio: how many times as fast as Keras.
    """

    runtime: str
    runtime_version: str
    shapes: list[list[int]]
    largest_difference: float
    psnr_db: float | None
    keras_seconds: float
    export_seconds: float
    speed_ratio: float


def load_images(
    folder: pathlib.Path | None,
    count: int,
    info: BundleInfo,
    direction: Direction,
    size: tuple[int, int] | None = None,
) -> tuple[list[np.ndarray], str]:
    """The first images of a folder, or drawn scenes of the domain that the generator translates.

    Args:
        folder: with images at any depth; None: scenes of the built-in data set, drawn in memory.
        count: of images, at most.
        info: of the bundle.
        direction: of the generator.
        size: height and width that each image of a folder is fitted to before the next is read; None: as it is.

    Returns:
        Images float32 [height, width, channels] in [-1, 1], and where they come from.

    Raises:
        UsageError: if the folder holds no images.
        BadImage: if one of them cannot be used.
    """
    channels, _ = info.channels(direction)
    if folder is None:
        scenes = [draw_scene(0, index) for index in range(count)]
        drawn = [scene.plain if direction == "ab" else scene.striped for scene in scenes]
        return [decode(encode(image / np.float32(127.5) - 1), channels) for image in drawn], "built-in scenes"
    paths = list_images(folder)[:count]
    if not paths:
        raise UsageError(f"{folder} holds no images. Looked for {' '.join(sorted(SUFFIXES))}.")
    images = (read_image(path, channels, info.value_range, info.max_pixels) for path in paths)
    return [fit(image, *size) if size else image for image in images], f"folder {folder.resolve().name}"


def fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes an image [h, w, c] until it covers height x width, and cuts its centre out."""
    scale = max(height / image.shape[0], width / image.shape[1])
    size = max(height, round(image.shape[0] * scale)), max(width, round(image.shape[1] * scale))
    if image.shape[:2] != size:
        # Bicubic overshoots at edges.
        image = tf.image.resize(image, size, method="bicubic", antialias=True).numpy().clip(-1, 1)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return image[top : top + height, left : left + width].copy()  # a view would keep the whole


def compare(
    path: pathlib.Path,
    format_: str,
    model: keras.Model,
    info: BundleInfo,
    images: list[np.ndarray],
    size: tuple[int, int] | None,
    limit: float,
) -> Comparison:
    """Runs an export beside the model that it was made from.

    Args:
        path: the export.
        format_: "keras", "savedmodel", "litert" or "onnx".
        model: the generator.
        info: of its bundle.
        images: float32 [h, w, channels] in [-1, 1], of any sizes; they are fitted.
        size: height and width of the export; None: any, so two are tried, the second with all images in one batch.
        limit: the largest difference that is accepted.

    Raises:
        CycleganError: if the export cannot be run, differs by more, or makes values that are not finite.
    """
    first, *others = sizes_to_try(size, info)
    batches = [fit(image, *first)[np.newaxis] for image in images]
    batches += [np.stack([fit(image, *other) for image in images]) for other in others]
    translate = tf.function(lambda inputs: model(inputs, training=False))

    def reference(inputs: np.ndarray) -> np.ndarray:
        with tf.device("CPU:0"):
            return translate(tf.constant(inputs)).numpy()

    seconds: list[tuple[float, float]] = []
    with _own_process(path, format_, has_custom_layers(model)) as (runtime, version, run):
        for _ in range(1 + ROUNDS):  # the first one warms up
            start = time.perf_counter()
            reference(batches[0])
            seconds.append((time.perf_counter() - start, run("float32", batches[0])[1]))
        differences = np.concatenate(
            [(run("float32", inputs)[0].astype(np.float64) - reference(inputs)).ravel() for inputs in batches]
        )
        if format_ == "savedmodel":
            _check_bytes(run, reference, batches[0][0] if size else batches[0][0, :-3, :-1], info)
    largest = float(np.abs(differences).max())
    if not largest <= limit:  # NaN is not
        raise CycleganError(
            f"The export to {format_} is not kept: run by {runtime} {version} it differs from Keras by {largest:.2g} on"
            f" the scale from -1 to 1. Allowed: {limit:.2g}."
        )
    keras_seconds, export_seconds = (statistics.median(column) for column in zip(*seconds[1:], strict=True))
    mean_square = float(np.mean(differences**2))
    return Comparison(
        runtime=runtime,
        runtime_version=version,
        shapes=[list(inputs.shape) for inputs in batches],
        largest_difference=largest,
        psnr_db=10 * math.log10(4 / mean_square) if mean_square else None,
        keras_seconds=keras_seconds,
        export_seconds=export_seconds,
        speed_ratio=keras_seconds / export_seconds,
    )


def sizes_to_try(size: tuple[int, int] | None, info: BundleInfo) -> list[tuple[int, int]]:
    """Heights and widths that an export is run with: that of the export, or if it has none, two, the wider one last."""
    side = round_up(info.crop_size, info)
    return [size] if size else [(side, side), (side, round_up(side * 3 // 2, info))]


def round_up(size: int, info: BundleInfo) -> int:
    """The next height or width that the generator takes."""
    return -(-max(size, info.min_size) // info.size_multiple) * info.size_multiple


def has_custom_layers(model: keras.Model) -> bool:
    """Whether a `.keras` file of the model is loaded only where this package is installed."""
    return any(type(layer).__module__ == CUSTOM_LAYERS for layer in model.layers)


def _check_bytes(run: Run, reference: Callable[[np.ndarray], np.ndarray], image: np.ndarray, info: BundleInfo) -> None:
    """Compares the signatures of a SavedModel for 8-bit pixels and for encoded images.

    Raises:
        CycleganError: if they are not what Keras makes of the padded image, rounded.
    """
    height, width, _ = image.shape
    pixels = np.rint((image + 1) * 127.5).astype(np.uint8)
    padding = [(0, round_up(size, info) - size) for size in (height, width)]
    padded = np.pad(pixels, [*padding, (0, 0)], mode="reflect").astype(np.float32) / 127.5 - 1
    expected = (reference(padded[np.newaxis])[0, :height, :width] + 1) * 127.5
    translated = run("serving_default", pixels[np.newaxis])[0][0]
    (encoded,) = run("encoded", np.array([encode(pixels.astype(np.float32) / 127.5 - 1)]))[0]
    with Image.open(io.BytesIO(encoded)) as decoded:
        of_encoded = np.asarray(decoded).reshape(translated.shape)
    # Rounding alone is half a level.
    largest = max(float(np.abs(output - expected).max()) for output in (translated, of_encoded))
    if not largest <= 0.5 + LIMIT * 127.5:
        raise CycleganError(
            f"The export to savedmodel is not kept: 8-bit images differ from those of Keras by {largest:.2f} levels."
            " Allowed: 0.51."
        )


@contextmanager
def _own_process(path: pathlib.Path, format_: str, needs_layers: bool) -> Iterator[tuple[str, str, Run]]:
    """A fresh process that has loaded the export: name and version of its runtime, and a function that runs it.

    A runtime that crashes takes only that process with it.
    """
    command = [sys.executable, "-P", str(_RUNTIMES), format_, str(path)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    if needs_layers:
        command.append(CUSTOM_LAYERS)
        places = [str(_RUNTIMES.parents[2]), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdin and process.stdout
        stdin, stdout = process.stdin, process.stdout

        def receive() -> tuple[Any, Any]:
            try:
                kind, value = pickle.load(stdout)
            except (EOFError, pickle.UnpicklingError) as error:
                raise CycleganError(
                    f"The export to {format_} is not kept: its runtime ended with exit code {process.wait()}."
                ) from error
            if kind == "error":
                raise CycleganError(f"The export to {format_} is not kept: its runtime says: {value}")
            return value

        def run(signature: str, inputs: Any) -> tuple[Any, float]:
            with suppress(BrokenPipeError):  # the answer will say why
                pickle.dump((signature, inputs), stdin)
                stdin.flush()
            return receive()

        try:
            yield (*receive(), run)
        finally:
            with suppress(BrokenPipeError):
                stdin.close()  # it ends by itself, and tidies up
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
