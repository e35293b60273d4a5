"""What several runs make of the same images, as pictures."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from cyclegan.bundles.bundle import load_bundle
from cyclegan.bundles.info import Direction
from cyclegan.config.sections import DataConfig
from cyclegan.data.sources import Source
from cyclegan.data.views import read_views
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
        say: called with a line for each run that cannot translate, whose pictures are black.

    Returns:
        For each direction rows of pictures, uint8 [height, width, channels]: an input, then its translations.
    """
    found: dict[str, list[list[np.ndarray]]] = {}
    said: set[str] = set()

    def say_once(line: str) -> None:
        if line not in said:
            say(line)
        said.add(line)

    sides: tuple[tuple[Direction, Sequence[pathlib.Path]], ...] = (
        ("ab", source.test_a or source.train_a),
        ("ba", source.test_b or source.train_b),
    )
    for direction, paths in sides:
        columns = _readable_views([data for _, data in runs], paths, number, direction, say_once)
        columns.insert(0, columns[0])
        for index, (folder, _) in enumerate(runs, start=1):
            columns[index] = _translated(folder, direction, columns[index], say_once)
        found[direction] = [[_picture(image) for image in row] for row in zip(*columns, strict=True)]
    return found


def _readable_views(
    sections: Sequence[DataConfig],
    paths: Sequence[pathlib.Path],
    number: int,
    direction: Direction,
    say: Callable[[str], None],
) -> list[list[np.ndarray]]:
    """The same images as each run reads them. An image that one of them cannot read is left out."""
    columns: list[list[np.ndarray]] = [[] for _ in sections]
    for path in paths:
        if len(columns[0]) == number:
            break
        views = [
            list(read_views([path], data.channels_a if direction == "ab" else data.channels_b, data, say))
            for data in sections
        ]
        if all(views):
            for column, (view,) in zip(columns, views, strict=True):
                column.append(view)
    return columns


def _translated(
    folder: pathlib.Path, direction: Direction, images: list[np.ndarray], say: Callable[[str], None]
) -> list[np.ndarray]:
    """What a run makes of images, which is black if it has no bundle."""
    try:
        generator = load_bundle(folder).generator(direction)
    except CycleganError as error:
        say(f"Nothing is translated by {folder}: {error}")
        return [np.full_like(image, -1) for image in images]
    return [np.asarray(generator(image[None], training=False))[0] for image in images]


def _picture(image: np.ndarray) -> np.ndarray:
    """A picture of an image in [-1, 1]; transparency is left out."""
    pixels: np.ndarray = np.rint((np.clip(image, -1, 1) + 1) * 127.5).astype(np.uint8)
    return pixels[..., :3]
