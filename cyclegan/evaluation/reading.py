"""Image files as they are scored."""

import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from cyclegan.bundle import BundleInfo
from cyclegan.config.sections import DataConfig
from cyclegan.data.headers import BadImage
from cyclegan.data.loading import IN_FLIGHT_BYTES, ByteBudget, load_image
from cyclegan.data.sources import Source
from cyclegan.data.stripes import read_marker

BATCH = 8

Say = Callable[[str], None]


def reading_config(info: BundleInfo, size: int) -> DataConfig:
    """How the images of a model are read, at another size."""
    given = {"crop_size": size, "value_range": info.value_range, "max_pixels": info.max_pixels}
    return DataConfig.model_validate(info.provenance.config.get("data", {}) | given, strict=False)


def read_batches(paths: Sequence[pathlib.Path], channels: int, config: DataConfig, say: Say) -> Iterator[np.ndarray]:
    """Batches of images as they are scored: float32 [n, crop, crop, channels] in [-1, 1], the middle of each image.

    Args:
        paths: the files. Those that cannot be used are left out.
        channels: the number of channels.
        config: says how the images are resized.
        say: called with a line for each image that is left out.
    """
    budget = ByteBudget(IN_FLIGHT_BYTES)
    batch: list[np.ndarray] = []
    for path in paths:
        try:
            image = load_image(path, channels, config.crop_size, config, budget)
        except BadImage as error:
            say(f"Left out: {error}")
            continue
        top, left = ((side - config.crop_size) // 2 for side in image.shape[:2])
        batch.append(image[top : top + config.crop_size, left : left + config.crop_size])
        if len(batch) == BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def truth_files(inputs: Sequence[pathlib.Path], source: Source) -> tuple[list[pathlib.Path], list[pathlib.Path]] | None:
    """The files of the true translations of test images and those of their masks; None if the truth is not known."""
    if source.folder is None or read_marker(source.folder) is None:
        return None
    split, folder = inputs[0].parent.name, source.folder / "truth"
    coat = {"testA": "striped", "testB": "plain"}[split]
    translated, masks = (
        [folder / place / path.name for path in inputs] for place in (f"{split}_{coat}", f"{split}_mask")
    )
    return translated, masks


def fingerprint_of(paths: Sequence[pathlib.Path]) -> str:
    """The first digits of the SHA-256 of the names and the contents of files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(path.name) + b"\0")
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError:  # it counts as one that is left out
            digest.update(b"\0")
    return digest.hexdigest()[:16]
