"""The pictures by which a person judges a training, in the columns real, translated, back and identity."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.data.sources import Source
from cyclegan.data.views import load_views
from cyclegan.training.state import State

GAP = 2
"""White pixels between the images of a grid."""


class Samples:
    """Fixed test images of both domains. They are translated again each time that they are shown.

    Args:
        source: the source of the test images. Where a domain has no readable ones, training images are taken.
        config: says how many images are shown, and how they are prepared.
        state: its generators translate.
    """

    def __init__(self, source: Source, config: Config, state: State):
        count, data = config.training.num_samples, config.data

        def views(test: tuple[pathlib.Path, ...], train: tuple[pathlib.Path, ...], channels: int) -> np.ndarray:
            # A header that was fine does not prove that the pixels are: all test images may turn out to be broken.
            readable = load_views(test, count, channels, data)
            return readable if len(readable) else load_views(train, count, channels, data)

        self._a = views(source.test_a, source.train_a, data.channels_a)
        self._b = views(source.test_b, source.train_b, data.channels_b)
        same_channels = data.channels_a == data.channels_b

        def columns(forward: keras.Model, back: keras.Model, image: tf.Tensor) -> list[tf.Tensor]:
            fake = forward(image)
            shown = [image, fake, back(fake)]
            return [*shown, back(image)] if same_channels else shown

        # One image in each call, so that the memory does not grow with `num_samples`.
        generator_ab, generator_ba = state.translators
        self._columns_a = tf.function(lambda image: columns(generator_ab, generator_ba, image), autograph=False)
        self._columns_b = tf.function(lambda image: columns(generator_ba, generator_ab, image), autograph=False)

    def grids(self) -> dict[str, np.ndarray]:
        """A grid for each direction that has images, with one row for each image: uint8 [height, width, 3]."""
        rows_a = [[column.numpy()[0] for column in self._columns_a(image[None])] for image in self._a]
        rows_b = [[column.numpy()[0] for column in self._columns_b(image[None])] for image in self._b]
        return {tag: image_grid(rows) for tag, rows in (("a_to_b", rows_a), ("b_to_a", rows_b)) if rows}


def image_grid(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Images of one size as one picture, with white lines between them.

    Args:
        rows: at least one row of images, each float [height, width, channels] in [-1, 1] with 1, 3 or 4 channels.

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
