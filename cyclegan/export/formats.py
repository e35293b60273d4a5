"""A generator written in the formats of other runtimes.

Every writer takes a model from float32 [batch, height, width, channels] in [-1, 1] to the same, where to write, and
height and width in pixels, both None for any size. Raises whatever the converters raise.
"""

import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

Quantization = Literal["float16", "int8"]


class _NormByRows(keras.layers.GroupNormalization):
    """Group normalization whose means are those of rows, then of columns.

    ONNX Runtime and LiteRT add up all the pixels of an image one by one in float32. This way the output of an untrained
    ResNet with 9 blocks at 256 pixels is ten times as near to that in float64, and LiteRT needs half the time.
    """

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        ops = keras.ops
        shape = ops.shape(inputs)

        def mean(values: keras.KerasTensor) -> keras.KerasTensor:
            for axis in (4, 2, 1):
                values = ops.mean(values, axis=axis, keepdims=True)
            return values  # [batch, 1, 1, groups, 1]

        grouped = ops.reshape(inputs, (-1, *shape[1:3], self.groups, shape[3] // self.groups))
        centred = grouped - mean(grouped)
        outputs = ops.reshape(centred * ops.rsqrt(mean(ops.square(centred)) + self.epsilon), shape)
        outputs = outputs * self.gamma if self.scale else outputs
        return outputs + self.beta if self.center else outputs


def _with_means_by_rows(model: keras.Model) -> keras.Model:
    """The same model with the same weights, every group normalization by rows."""

    def clone(layer: keras.Layer) -> keras.Layer:
        kind = _NormByRows if type(layer) is keras.layers.GroupNormalization else type(layer)
        return kind.from_config(layer.get_config())

    cloned = keras.models.clone_model(model, clone_function=clone)
    cloned.set_weights(model.get_weights())
    return cloned


def write_keras(model: keras.Model, path: pathlib.Path, height: int | None, width: int | None) -> None:
    """Writes a `.keras` file, which Keras loads without this package unless `has_custom_layers`."""
    if height:
        image = keras.Input((height, width, model.input_shape[-1]), name="image")
        model = keras.Model(image, model(image), name=f"{model.name}_{height}x{width}")
    model.save(path)


def write_litert(
    model: keras.Model,
    path: pathlib.Path,
    height: int | None,
    width: int | None,
    quantize: Quantization | None,
    samples: list[np.ndarray],
) -> None:
    """Writes a `.tflite` file.

    LiteRT's own operations must do, so that it runs where those of TensorFlow are not. A fixed size fixes the batch at
    1 as well, as accelerators want it.

    Args:
        model: the generator.
        path: the file.
        height: in pixels; None: any.
        width: in pixels; None: any.
        quantize: "float16" weights, or "int8" weights and activations; inputs and outputs stay float32.
        samples: float32 [h, w, c] in [-1, 1], which give the ranges of the activations for "int8".
    """
    options: dict[str, Any] = {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}
    if quantize:
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        options["target_spec"]["supported_types"] = [tf.float16]
    if quantize == "int8":
        options["target_spec"]["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

        def representative_dataset() -> Iterator[list[np.ndarray]]:
            for sample in samples:
                yield [sample[np.newaxis]]

        options["representative_dataset"] = representative_dataset
    shape = [1 if height else None, height, width, model.input_shape[-1]]
    signature = [tf.TensorSpec(shape, tf.float32, name="image")]
    _with_means_by_rows(model).export(path, format="litert", input_signature=signature, verbose=False, **options)


def write_onnx(model: keras.Model, path: pathlib.Path, height: int | None, width: int | None) -> None:
    """Writes an `.onnx` file from `image` to `translated`, with names for the dimensions that are free."""
    import onnx

    signature = [tf.TensorSpec([None, height, width, model.input_shape[-1]], tf.float32, name="image")]
    _with_means_by_rows(model).export(path, format="onnx", input_signature=signature, verbose=False)
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


def write_saved_model(
    model: keras.Model, path: pathlib.Path, height: int | None, width: int | None, size_multiple: int, min_size: int
) -> None:
    """Writes a SavedModel with the signatures `serving_default`, `encoded` and `float32`.

    Where no size is fixed they take images of any: reflected at the lower right, translated, cropped.

    `serving_default`: uint8 [n, h, w, channels in] to uint8 [n, h, w, channels out], rounded to the nearest.
    `encoded`: n whole JPEG or PNG files as strings [n], each of its own size, to n PNG files.
    `float32`: float32 [n, h, w, channels in] in [-1, 1] to [n, h, w, channels out].
    """
    channels = model.input_shape[-1]

    def reflected(size: tf.Tensor) -> tf.Tensor:
        """Indices that go up and down between both borders as far as the next size that the generator takes."""
        target = -(-tf.maximum(size, min_size) // size_multiple) * size_multiple
        period = tf.maximum(2 * size - 2, 1)
        phase = tf.range(target) % period
        return tf.minimum(phase, period - phase)

    def translate(images: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(images)
        padded = tf.gather(tf.gather(images, reflected(shape[1]), axis=1), reflected(shape[2]), axis=2)
        padded = tf.ensure_shape(padded, [None, height, width, channels])
        return model(padded, training=False)[:, : shape[1], : shape[2]]

    def serve(images: tf.Tensor) -> tf.Tensor:
        translated = translate(tf.cast(images, tf.float32) / 127.5 - 1)
        return tf.saturate_cast(tf.round((translated + 1) * 127.5), tf.uint8)

    def serve_encoded(file: tf.Tensor) -> tf.Tensor:
        # This operation reads PNG too, and JPEG with the arithmetic of other decoders.
        image = tf.io.decode_jpeg(file, channels, dct_method="INTEGER_ACCURATE")
        return tf.io.encode_png(serve(image[tf.newaxis])[0])

    def signature(function: Callable[[tf.Tensor], tf.Tensor], spec: tf.TensorSpec, output: str) -> Any:
        return tf.function(lambda value: {output: function(value)}).get_concrete_function(spec)

    shape = [None, height, width, channels]
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    signatures = {
        "serving_default": signature(serve, tf.TensorSpec(shape, tf.uint8, "image"), "translated"),
        "encoded": signature(
            lambda files: tf.map_fn(serve_encoded, files, fn_output_signature=tf.TensorSpec([], tf.string)),
            tf.TensorSpec([None], tf.string, "image_bytes"),
            "image_bytes",  # TensorFlow Serving encodes what ends in _bytes in base64
        ),
        "float32": signature(translate, tf.TensorSpec(shape, tf.float32, "image"), "translated"),
    }
    tf.saved_model.save(module, str(path), signatures)
