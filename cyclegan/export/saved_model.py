"""The format `savedmodel`: a folder for TensorFlow and TensorFlow Serving.

`load` runs in a process that does not import this package, so the imports are in the functions.
"""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from cyclegan.bundles.info import BundleInfo
    from cyclegan.export.conversion import Conversion, Run, Runtime


def check_bundle(info: BundleInfo) -> None:
    """Checks that the generators of a bundle take 8-bit images.

    Raises:
        UsageError: if 0 and 255 do not become -1 and 1.
    """
    from cyclegan.errors import UsageError

    if info.value_range not in (None, (0, 255)):
        raise UsageError(
            "A SavedModel takes 8-bit images, whose values 0 and 255 become -1 and 1: `value_range` of the bundle must"
            f" be null or [0, 255]. Received: {list(info.value_range or ())}. Use another format, and scale the images"
            " before you pass them to it."
        )


def write(model: keras.Model, path: pathlib.Path, conversion: Conversion) -> None:
    """Writes a SavedModel with the signatures `serving_default`, `encoded` and `float32`.

    Unless the size is fixed, they take images of any size, which are extended by reflection at the bottom and at the
    right, translated, and cropped to their own size.

    `serving_default`: uint8 [n, h, w, channels in] to uint8 [n, h, w, channels out], rounded to the nearest.
    `encoded`: n JPEG or PNG files as strings [n], each of its own size, to n PNG files.
    `float32`: float32 [n, h, w, channels in] in [-1, 1] to [n, h, w, channels out].
    """
    import tensorflow as tf

    channels = model.input_shape[-1]
    shape = [None, *(conversion.size or (None, None)), channels]
    size_multiple, min_size = conversion.info.size_multiple, conversion.info.min_size

    def translate(images: tf.Tensor) -> tf.Tensor:
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        rows, columns = (_reflected(size, size_multiple, min_size) for size in (height, width))
        padded = tf.gather(tf.gather(images, rows, axis=1), columns, axis=2)
        return model(tf.ensure_shape(padded, shape), training=False)[:, :height, :width]

    def serve(images: tf.Tensor) -> tf.Tensor:
        translated = translate(tf.cast(images, tf.float32) / 127.5 - 1)
        return tf.saturate_cast(tf.round((translated + 1) * 127.5), tf.uint8)

    def serve_file(file: tf.Tensor) -> tf.Tensor:
        # This operation also reads PNG, and it reads JPEG with the arithmetic of other decoders.
        image = tf.io.decode_jpeg(file, channels, dct_method="INTEGER_ACCURATE")
        return tf.io.encode_png(serve(image[tf.newaxis])[0])

    def serve_files(files: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(serve_file, files, fn_output_signature=tf.TensorSpec([], tf.string))

    def signature(function: Callable[[tf.Tensor], tf.Tensor], spec: tf.TensorSpec, output: str) -> Any:
        return tf.function(lambda value: {output: function(value)}).get_concrete_function(spec)

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    # TensorFlow Serving encodes values in base64 if their name ends in _bytes.
    files = tf.TensorSpec([None], tf.string, "image_bytes")
    signatures = {
        "serving_default": signature(serve, tf.TensorSpec(shape, tf.uint8, "image"), "translated"),
        "encoded": signature(serve_files, files, "image_bytes"),
        "float32": signature(translate, tf.TensorSpec(shape, tf.float32, "image"), "translated"),
    }
    tf.saved_model.save(module, str(path), signatures)


def _reflected(size: tf.Tensor, size_multiple: int, min_size: int) -> tf.Tensor:
    """Indices of pixels that go back and forth between both borders until the generator takes their number."""
    import tensorflow as tf

    target = -(-tf.maximum(size, min_size) // size_multiple) * size_multiple
    period = tf.maximum(2 * size - 2, 1)
    phase = tf.range(target) % period
    return tf.minimum(phase, period - phase)


def load(path: str) -> Runtime:
    """Loads the folder with TensorFlow."""
    import tensorflow as tf

    model = tf.saved_model.load(path)

    def run(signature: str, inputs: np.ndarray) -> Any:
        (output,) = model.signatures[signature](tf.constant(inputs)).values()
        return output.numpy()

    return "tensorflow", tf.__version__, run


def check_run(
    run: Run, reference: Callable[[np.ndarray], np.ndarray], image: np.ndarray, info: BundleInfo, limit: float
) -> None:
    """Compares the signatures for 8-bit pixels and for encoded images with Keras.

    Args:
        run: runs a signature of the export.
        reference: runs Keras on float32 [batch, height, width, channels].
        image: float32 [h, w, channels] in [-1, 1]; any size that the export takes.
        info: what the bundle says of the generator.
        limit: the largest difference before rounding, on the scale from -1 to 1.

    Raises:
        CycleganError: if the outputs are not those of Keras for the padded image, rounded.
    """
    import numpy as np
    from PIL import Image

    from cyclegan.data.encoding import encode
    from cyclegan.errors import CycleganError
    from cyclegan.export.images import round_up

    height, width, _ = image.shape
    pixels = np.rint((image + 1) * 127.5).astype(np.uint8)
    padding = [(0, round_up(size, info) - size) for size in (height, width)]
    padded = np.pad(pixels, [*padding, (0, 0)], mode="reflect").astype(np.float32) / 127.5 - 1
    expected = (reference(padded[np.newaxis])[0, :height, :width] + 1) * 127.5
    translated = run("serving_default", pixels[np.newaxis])[0]
    (file,) = run("encoded", np.array([encode(pixels.astype(np.float32) / 127.5 - 1)]))
    with Image.open(io.BytesIO(file)) as decoded:
        of_file = np.asarray(decoded).reshape(translated.shape)
    largest = max(float(np.abs(output - expected).max()) for output in (translated, of_file))
    allowed = 0.5 + limit * 127.5  # rounding alone changes a value by up to half a level
    if not largest <= allowed:
        raise CycleganError(
            f"The export to savedmodel is not kept: its 8-bit images differ from the images of Keras by {largest:.2f}"
            f" levels. Allowed: {allowed:.2f}."
        )
