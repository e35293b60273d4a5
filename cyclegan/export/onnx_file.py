"""The format `onnx`: an `.onnx` file.

`load` runs in a process that does not import this package, so the imports are in the functions.
"""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from cyclegan.export.conversion import Conversion, Runtime


def write(model: keras.Model, path: pathlib.Path, conversion: Conversion) -> None:
    """Writes a file that maps `image` to `translated`. Dimensions that are not fixed get names."""
    import onnx
    import tensorflow as tf

    from cyclegan.export.norm_by_rows import with_norms_by_rows

    shape = [None, *(conversion.size or (None, None)), model.input_shape[-1]]
    signature = [tf.TensorSpec(shape, tf.float32, name="image")]
    with_norms_by_rows(model).export(path, format="onnx", input_signature=signature, verbose=False)
    content = onnx.load(path)
    (image,), (translated,) = content.graph.input, content.graph.output
    for node in content.graph.node:
        node.output[:] = ["translated" if name == translated.name else name for name in node.output]
    translated.name = "translated"
    for value in (image, translated):
        for name, dimension in zip(("batch", "height", "width"), value.type.tensor_type.shape.dim, strict=False):
            if not dimension.dim_value:
                dimension.dim_param = name
    onnx.checker.check_model(content, full_check=True)
    onnx.save(content, path)


def load(path: str) -> Runtime:
    """Loads the file with ONNX Runtime on the CPU."""
    # Otherwise its official packages send what they see of the model and of the machine to Microsoft, and store an
    # identifier of the machine in the home directory and the file `.ses` in the folder for temporary files.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Threads that wait in a loop would slow down Keras, which runs in turn with this.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (inputs,) = session.get_inputs()
    return "onnxruntime", onnxruntime.__version__, lambda _, images: session.run(None, {inputs.name: images})[0]
