"""The pictures by which a person judges a training: real | translated | back | identity."""

import keras
import numpy as np
import tensorflow as tf

from cyclegan.config import Config
from cyclegan.data.pipeline import load_views
from cyclegan.data.sources import Source
from cyclegan.training.state import State

GAP = 2
"""White pixels between the images of a grid."""


class Samples:
    """Fixed test images of both domains, translated anew each time.

    Args:
        source: test images are taken from it; where a domain has none, training images.
        config: how many images, and how they are prepared.
        state: the generators.
    """

    def __init__(self, source: Source, config: Config, state: State):
        count, data = config.training.num_samples, config.data
        self._a = load_views(source.test_a or source.train_a, count, data.channels_a, data)
        self._b = load_views(source.test_b or source.train_b, count, data.channels_b, data)
        same_channels = data.channels_a == data.channels_b

        def columns(forward: keras.Model, back: keras.Model, image: tf.Tensor) -> list[tf.Tensor]:
            fake = forward(image)
            shown = [image, fake, back(fake)]
            return [*shown, back(image)] if same_channels else shown

        # One image a call keeps the memory at that of one image, whatever `num_samples` is.
        self._columns_a = tf.function(
            lambda image: columns(state.generator_ab, state.generator_ba, image), autograph=False
        )
        self._columns_b = tf.function(
            lambda image: columns(state.generator_ba, state.generator_ab, image), autograph=False
        )

    def grids(self) -> dict[str, np.ndarray]:
        """A grid for each direction, one row an image: uint8 [height, width, 3]."""
        rows_a = [[column.numpy()[0] for column in self._columns_a(image[None])] for image in self._a]
        rows_b = [[column.numpy()[0] for column in self._columns_b(image[None])] for image in self._b]
        return {"a_to_b": image_grid(rows_a), "b_to_a": image_grid(rows_b)}


def image_grid(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Images of one size as one picture, white lines between them.

    Args:
        rows: float [height, width, channels] in [-1, 1] each, 1, 3 or 4 channels.

    Returns:
        uint8 [height, width, 3].
    """
    lines = []
    for row in rows:
        cells = [np.pad(_as_rgb(image), ((GAP, 0), (GAP, 0), (0, 0)), constant_values=255) for image in row]
        lines.append(np.concatenate(cells, axis=1))
    grid = np.concatenate(lines, axis=0)
    return np.pad(grid, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def _as_rgb(image: np.ndarray) -> np.ndarray:
    pixels = np.round((np.clip(image, -1, 1) + 1) * 127.5).astype(np.uint8)
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]
