"""The format `keras`: a `.keras` file.

`load` runs in a process that does not import this package, so the imports are in the functions.
"""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from cyclegan.export.conversion import Conversion, Runtime


def write(model: keras.Model, path: pathlib.Path, conversion: Conversion) -> None:
    """Writes a file that Keras loads without this package, unless the model has layers of this package."""
    import keras

    if conversion.size:
        height, width = conversion.size
        image = keras.Input((height, width, model.input_shape[-1]), name="image")
        model = keras.Model(image, model(image), name=f"{model.name}_{height}x{width}")
    model.save(path)


def load(path: str) -> Runtime:
    """Loads the file with Keras, which runs on TensorFlow here."""
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(path, compile=False)
    translate = tf.function(lambda images: model(images, training=False))
    return "keras", keras.__version__, lambda _, images: translate(images).numpy()
