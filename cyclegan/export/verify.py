"""Compares an export with the Keras model that it was made from: both translate the same images."""

import inspect
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

from cyclegan.bundles.info import BundleInfo
from cyclegan.errors import CycleganError
from cyclegan.export.formats import FORMATS
from cyclegan.export.images import fit, sizes_to_try

LIMIT = 1e-4
"""The largest difference allowed for an export in float32, on the scale from -1 to 1."""

ROUNDS = 5
OWN_LAYERS = "cyclegan.networks.layers"
_SCRIPT = pathlib.Path(__file__).with_name("runtime_process.py")

Reference = Callable[[np.ndarray], np.ndarray]
"""Runs Keras on float32 [batch, height, width, channels]."""

TimedRun = Callable[[str, Any], tuple[Any, float]]
"""Runs the export: from (signature, input) to (output, seconds)."""


@dataclass(frozen=True)
class Comparison:
    """The result of running an export beside Keras.

    Attributes:
        runtime: the name of the library that ran the export.
        runtime_version: the version of that library.
        shapes: [batch, height, width, channels] of each input.
        largest_difference: the largest difference between the outputs, on the scale from -1 to 1.
        psnr_db: the peak signal-to-noise ratio in dB, for values from -1 to 1; None if the outputs are equal.
        keras_seconds: the median time that Keras, compiled to a graph, takes for the first input on the CPU.
        export_seconds: the median time that the export takes for the same; the runs of both alternate.
        speed_ratio: keras_seconds / export_seconds.
    """

    runtime: str
    runtime_version: str
    shapes: list[list[int]]
    largest_difference: float
    psnr_db: float | None
    keras_seconds: float
    export_seconds: float
    speed_ratio: float


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
        format_: the name of its format; the format must have a runtime.
        model: the generator.
        info: what the bundle says of the generator.
        images: float32 [h, w, channels] in [-1, 1] of any sizes; they are fitted to the sizes that are tried.
        size: the height and width of the export. None: any, so two sizes are tried, the second one with all images in
            one batch.
        limit: the largest difference that is accepted; infinite: any difference, as long as all outputs are finite.

    Raises:
        CycleganError: if the export cannot be run, differs by more than `limit`, or computes values that are not
            finite.
    """
    first, *others = sizes_to_try(size, info)
    batches = [fit(image, *first)[np.newaxis] for image in images]
    batches += [np.stack([fit(image, *other) for image in images]) for other in others]
    reference = _on_the_cpu(model)
    with _own_process(path, format_, model) as (runtime, version, timed_run):

        def run(signature: str, inputs: Any) -> Any:
            return timed_run(signature, inputs)[0]

        keras_seconds, export_seconds = _median_seconds(reference, timed_run, batches[0])
        differences = np.concatenate(
            [(run("float32", inputs).astype(np.float64) - reference(inputs)).ravel() for inputs in batches]
        )
        if check_run := FORMATS[format_].check_run:
            check_run(run, reference, batches[0][0] if size else batches[0][0, :-3, :-1], info, limit)
    largest = float(np.abs(differences).max())
    if not math.isfinite(largest):
        raise CycleganError(
            f"The export to {format_} is not kept: run by {runtime} {version}, it or Keras computes values that are not"
            " finite."
        )
    if largest > limit:
        raise CycleganError(
            f"The export to {format_} is not kept: run by {runtime} {version}, it differs from Keras by {largest:.2g}"
            f" on the scale from -1 to 1. Allowed: {limit:.2g}."
        )
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


def _on_the_cpu(model: keras.Model) -> Reference:
    """The model as a function of arrays, compiled to a graph."""
    translate = tf.function(lambda inputs: model(inputs, training=False))

    def reference(inputs: np.ndarray) -> np.ndarray:
        with tf.device("CPU:0"):
            outputs: np.ndarray = translate(tf.constant(inputs)).numpy()
        return outputs

    return reference


def _median_seconds(reference: Reference, run: TimedRun, inputs: np.ndarray) -> tuple[float, float]:
    """The median times of Keras and of the export, which run alternately."""
    seconds: list[tuple[float, float]] = []
    for _ in range(1 + ROUNDS):  # the first round warms up
        start = time.perf_counter()
        reference(inputs)
        seconds.append((time.perf_counter() - start, run("float32", inputs)[1]))
    of_keras, of_export = zip(*seconds[1:], strict=True)
    return statistics.median(of_keras), statistics.median(of_export)


def _has_own_layers(model: keras.Model) -> bool:
    """Whether the model has layers that only this package defines."""
    return any(type(layer).__module__ == OWN_LAYERS for layer in model.layers)


@contextmanager
def _own_process(path: pathlib.Path, format_: str, model: keras.Model) -> Iterator[tuple[str, str, TimedRun]]:
    """Starts a process that loads the export; yields name and version of its runtime, and a function that runs it.

    If the runtime crashes, only that process ends.
    """
    entry = FORMATS[format_]
    assert entry.load, format_
    command = [sys.executable, "-P", str(_SCRIPT), inspect.getfile(entry.load), str(path)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    if entry.names_own_layers and _has_own_layers(model):
        command.append(OWN_LAYERS)
        places = [str(_SCRIPT.parents[2]), os.environ.get("PYTHONPATH", "")]
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
                raise CycleganError(f"The export to {format_} is not kept: its runtime reports: {value}")
            answer: tuple[Any, Any] = value
            return answer

        def run(signature: str, inputs: Any) -> tuple[Any, float]:
            with suppress(BrokenPipeError):  # the answer tells why
                pickle.dump((signature, inputs), stdin)
                stdin.flush()
            return receive()

        try:
            yield (*receive(), run)
        finally:
            with suppress(BrokenPipeError):
                stdin.close()  # the process then ends by itself, and removes its temporary files
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
