"""The format `litert`: a `.tflite` file.

`load` runs in a process that does not import this package, so the imports are in the functions.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np

    from cyclegan.export.conversion import Conversion, Runtime


def write(model: keras.Model, path: pathlib.Path, conversion: Conversion) -> None:
    """Writes a file that uses LiteRT's own operations only, so it runs where TensorFlow's operations are missing.

    A fixed size also fixes the batch at 1, as accelerators require. Inputs and outputs are float32, also in a quantized
    file.
    """
    import tensorflow as tf

    from cyclegan.export.norm_by_rows import with_norms_by_rows

    options: dict[str, Any] = {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}
    if conversion.quantize:
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if conversion.quantize == "float16":
        options["target_spec"]["supported_types"] = [tf.float16]
    if conversion.quantize == "int8":
        options["target_spec"]["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

        def representative_dataset() -> Iterator[list[np.ndarray]]:
            for sample in conversion.samples:
                yield [sample[None]]

        options["representative_dataset"] = representative_dataset
    shape = [1 if conversion.size else None, *(conversion.size or (None, None)), model.input_shape[-1]]
    signature = [tf.TensorSpec(shape, tf.float32, name="image")]
    with_norms_by_rows(model).export(path, format="litert", input_signature=signature, verbose=False, **options)


def load(path: str) -> Runtime:
    """Loads the file with the LiteRT interpreter."""
    import ai_edge_litert
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=os.cpu_count())
    (inputs,), (outputs,) = interpreter.get_input_details(), interpreter.get_output_details()
    shape: tuple[int, ...] | None = None

    def run(_: str, images: np.ndarray) -> Any:
        nonlocal shape
        if images.shape != shape:
            interpreter.resize_tensor_input(inputs["index"], images.shape)
            interpreter.allocate_tensors()
            shape = images.shape
        interpreter.set_tensor(inputs["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(outputs["index"])

    return "ai-edge-litert", ai_edge_litert.__version__, run
