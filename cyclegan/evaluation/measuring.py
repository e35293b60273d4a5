"""From batches of images, and from the generators that they pass through, to what the scores are made of."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from cyclegan.errors import CycleganError, UsageError
from cyclegan.evaluation.features import Extractor
from cyclegan.evaluation.patches import draw_patches, pyramid
from cyclegan.evaluation.scores import CONTENT, ImageSet

MAX_PATCHED = 256
"""SWD uses the first so many images of a set."""

MIN_IMAGES = 2

Generator = Callable[..., tf.Tensor]
"""A generator, called as a Keras network: with images and `training`."""


def look_at(batches: Iterable[np.ndarray], extractor: Extractor | None, seed: int) -> ImageSet:
    """Goes through a set of images once, and keeps what the distances need.

    Args:
        batches: float32 [n, height, width, channels] in [-1, 1], all of one size.
        extractor: the network for the distances of features; None leaves them out.
        seed: draws the patches.

    Raises:
        UsageError: if there are fewer than two images.
        CycleganError: if an image or its features are not finite.
    """
    features, classes, patches, channels, num = [], [], [], 0, 0
    for batch in batches:
        channels, num = batch.shape[-1], num + len(batch)
        if not np.isfinite(batch).all():
            raise CycleganError("An image has values that are not finite, as those of a model that has diverged.")
        if extractor:
            found = extractor.compute(np.repeat(batch, 3, axis=-1) if channels == 1 else batch)
            if not np.isfinite(found.values).all():
                raise CycleganError(f"The features of {extractor.name} have values that are not finite.")
            features.append(found.values)
            classes.append(found.classes)
        if num <= MAX_PATCHED:
            patches.append([draw_patches(level, seed).astype(np.float32) for level in pyramid(batch)])
    if num < MIN_IMAGES:
        raise UsageError(f"A score needs at least {MIN_IMAGES} images that can be read. Received: {num}.")
    levels = [np.concatenate(level) for level in zip(*patches, strict=True)]
    known = [each for each in classes if each is not None]
    return ImageSet(
        np.concatenate(features) if features else None,
        levels,
        channels,
        num,
        np.concatenate(known) if known else None,
    )


class Passage:
    """Sends images through two generators, and measures what they keep of themselves.

    Args:
        forward: the generator that translates.
        back: the generator of the other direction.
        num_channels: the number of channels of the images that `forward` takes.
    """

    def __init__(self, forward: Generator, back: Generator, num_channels: int):
        self._forward, self._back, self._num_channels = forward, back, num_channels
        self._numbers: dict[str, list[np.ndarray]] = {name: [] for name in CONTENT}

    def translated(self, batches: Iterable[np.ndarray], *truth: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The translations of batches of images, of which the truth and the mask may be known."""
        for batch, *known in zip(batches, *truth, strict=True):
            fakes = self._forward(batch, training=False)
            images = {"input": batch, "translated": fakes, "cycled": self._back(fakes, training=False)}
            self._note(images | dict(zip(("truth", "mask"), known, strict=False)))
            yield np.asarray(fakes, np.float32)

    def real(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The real images of the target domain themselves."""
        for batch in batches:
            if batch.shape[-1] == self._num_channels:
                self._note({"target": batch, "same": self._forward(batch, training=False)})
            yield batch

    def numbers(self) -> dict[str, np.ndarray]:
        """The scores of content by their names, one number for each image: [n]."""
        return {name: np.concatenate(each) for name, each in self._numbers.items() if each}

    def _note(self, images: dict[str, Any]) -> None:
        for name, score in CONTENT.items():
            if all(each in images for each in score.between):
                given = [tf.cast(images[each], tf.float32) for each in score.between]
                self._numbers[name].append(score.compute(*given).numpy())
