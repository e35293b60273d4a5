"""Images as they are shown and scored: the middle of each one, at the size of the crop, without anything random."""

import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from cyclegan.config.sections import DataConfig
from cyclegan.data.headers import BadImage
from cyclegan.data.loading import IN_FLIGHT_BYTES, ByteBudget, load_image

BATCH = 8


def read_views(
    paths: Sequence[pathlib.Path],
    channels: int,
    config: DataConfig,
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[np.ndarray]:
    """The middle of each image, resized to `crop_size` instead of `load_size`.

    Args:
        paths: the files. Those that cannot be used are left out.
        channels: the number of channels.
        config: says how the images are resized.
        report: called with a line for each image that is left out.

    Yields:
        float32 [crop_size, crop_size, channels] in [-1, 1].
    """
    size, budget = config.crop_size, ByteBudget(IN_FLIGHT_BYTES)
    for path in paths:
        try:
            image = load_image(path, channels, size, config, budget)
        except BadImage as error:
            report(f"Left out: {error}")
            continue
        top, left = ((side - size) // 2 for side in image.shape[:2])
        yield image[top : top + size, left : left + size]


def load_views(
    paths: Sequence[pathlib.Path],
    count: int,
    channels: int,
    config: DataConfig,
    report: Callable[[str], None] = lambda line: None,
) -> np.ndarray:
    """The views of the first `count` images that can be read: float32 [at most count, crop_size, crop_size, channels].

    The arguments are those of `read_views`.
    """
    views = list(itertools.islice(read_views(paths, channels, config, report), count))
    return np.stack(views) if views else np.zeros((0, config.crop_size, config.crop_size, channels), np.float32)


def read_batches(
    paths: Sequence[pathlib.Path], channels: int, config: DataConfig, report: Callable[[str], None]
) -> Iterator[np.ndarray]:
    """The same views as `read_views`, in batches of at most 8: float32 [n, crop_size, crop_size, channels]."""
    views = read_views(paths, channels, config, report)
    while batch := list(itertools.islice(views, BATCH)):
        yield np.stack(batch)
