"""What several runs make of the same images, as pictures."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from cyclegan.bundle import load_bundle
from cyclegan.bundle_info import Direction
from cyclegan.config.sections import DataConfig
from cyclegan.data.sources import Source
from cyclegan.data.views import load_views
from cyclegan.errors import CycleganError


def translate_views(
    runs: Sequence[tuple[pathlib.Path, DataConfig]], source: Source, number: int, say: Callable[[str], None]
) -> dict[str, list[list[np.ndarray]]]:
    """Translates the first test images of a data set by the best bundle of each run, or by its last one.

    Each run sees the images at the size of its own training.

    Args:
        runs: the directories of the runs, each with its section `data`.
        source: the data set. Training images are taken of a domain without test images.
        number: how many images of each domain are translated.
        say: called with a line for each run that cannot translate, whose pictures are grey.

    Returns:
        For each direction rows of pictures, uint8 [height, width, channels]: an input, then its translations.
    """
    found: dict[str, list[list[np.ndarray]]] = {}
    sides: tuple[tuple[Direction, Sequence[pathlib.Path]], ...] = (
        ("ab", source.test_a or source.train_a),
        ("ba", source.test_b or source.train_b),
    )
    for direction, paths in sides:
        columns: list[np.ndarray] = []
        for folder, data in runs:
            channels = data.channels_a if direction == "ab" else data.channels_b
            inputs = load_views(paths, number, channels, data)
            if not columns:
                columns.append(inputs)
            try:
                generator = load_bundle(folder).generator(direction)
            except CycleganError as error:
                say(f"Nothing is translated by {folder}: {error}")
                columns.append(np.zeros_like(inputs))
                continue
            columns.append(np.concatenate([generator(image[None], training=False) for image in inputs]))
        found[direction] = [[_picture(column[index]) for column in columns] for index in range(len(columns[0]))]
    return found


def _picture(image: np.ndarray) -> np.ndarray:
    """A picture of an image in [-1, 1]; transparency is left out."""
    pixels: np.ndarray = np.rint((np.clip(image, -1, 1) + 1) * 127.5).astype(np.uint8)
    return pixels[..., :3]
