"""The table of scores: distances between sets of images, and what each image keeps of itself."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from cyclegan.evaluation import content
from cyclegan.evaluation.distances import (
    frechet_distance,
    kernel,
    kernel_inception_distance,
    project,
    sliced_wasserstein_distance,
    squared_mmd,
)
from cyclegan.evaluation.patches import normalised

RESAMPLES = 200
"""How often images are drawn again for an interval."""

FEW_RESAMPLES = 20
"""The same for distances that take long."""

FEW_DEVIATIONS = 2.093
"""So many standard deviations of 20 numbers are on each side of 95 %: Student's t with 19 degrees of freedom."""

NORMAL_DEVIATIONS = 1.960
"""The same for the normal distribution."""


@dataclasses.dataclass(frozen=True)
class Value:
    """A score of one set of images.

    Attributes:
        value: the score.
        low: the lower end of the interval of 95 % for other images of the same kind.
        high: its upper end.
        spread: the standard deviation over random subsets; None for scores that do not use subsets.
    """

    value: float
    low: float
    high: float
    spread: float | None = None


class ImageSet(NamedTuple):
    """What the distances know of a set of images.

    Attributes:
        features: float32 [n, d] of an extractor; None without one.
        patches: for each level of a pyramid [n, patches, values], of the first images.
        channels: the number of channels of the images.
        num: the number of the images.
        classes: the class that the extractor takes each image for, int [n]; None if it has no classes.
    """

    features: np.ndarray | None
    patches: Sequence[np.ndarray]
    channels: int
    num: int
    classes: np.ndarray | None = None


class Distance(Protocol):
    """The distance of two sets of images."""

    def __call__(self, x: ImageSet, y: ImageSet, seed: int, with_interval: bool = True) -> Value:
        """Computes the distance. Without an interval, which takes most of the time, its ends are the score itself."""


def _kernel_distance(x: ImageSet, y: ImageSet, seed: int, with_interval: bool = True) -> Value:
    assert x.features is not None and y.features is not None
    mean, spread = kernel_inception_distance(x.features, y.features, seed)
    xx, yy, xy = kernel(x.features, x.features), kernel(y.features, y.features), kernel(x.features, y.features)

    def resampled(i: np.ndarray, j: np.ndarray) -> float:
        return squared_mmd(xx[np.ix_(i, i)], yy[np.ix_(j, j)], xy[np.ix_(i, j)])

    interval = _interval(mean, _resampled(resampled, xy.shape, RESAMPLES, seed)) if with_interval else (mean, mean)
    return Value(mean, *interval, spread)


def _frechet_distance(x: ImageSet, y: ImageSet, seed: int, with_interval: bool = True) -> Value:
    first, second = x.features, y.features
    assert first is not None and second is not None
    value = frechet_distance(first, second)
    if not with_interval:
        return Value(value, value, value)
    sizes = (len(first), len(second))
    return _with_few_resamples(value, lambda i, j: frechet_distance(first[i], second[j]), sizes, seed)


def _patch_distance(x: ImageSet, y: ImageSet, seed: int, with_interval: bool = True) -> Value:
    """The mean over the levels of the pyramid, times 1000, as Karras et al. 2018 state it."""
    levels = [
        tuple(project(normalised(each, one.channels), seed) for each, one in ((first, x), (second, y)))
        for first, second in zip(x.patches, y.patches, strict=True)
    ]  # [lines, images, patches]

    def distance(i: np.ndarray, j: np.ndarray) -> float:
        found = [
            sliced_wasserstein_distance(first[:, i].reshape(len(first), -1), second[:, j].reshape(len(second), -1))
            for first, second in levels
        ]
        return 1000 * float(np.mean(found))

    sizes = (len(x.patches[0]), len(y.patches[0]))
    value = distance(np.arange(sizes[0]), np.arange(sizes[1]))
    return _with_few_resamples(value, distance, sizes, seed) if with_interval else Value(value, value, value)


FEATURE_DISTANCES: dict[str, Distance] = {"KID": _kernel_distance, "Frechet": _frechet_distance}
"""Distances of features. The name of the extractor is added to each name, because the numbers depend on it."""

PATCH_DISTANCES: dict[str, Distance] = {"SWD": _patch_distance}
"""Distances of patches, which need no extractor."""


class PerImage(NamedTuple):
    """A score that is the mean of one number for each image.

    Attributes:
        compute: takes batches of images and returns one number for each image.
        between: the images that it takes, in their order.
    """

    compute: Callable[..., tf.Tensor]
    between: tuple[str, ...]


CONTENT = {
    "cycle L1": PerImage(content.l1, ("input", "cycled")),
    "cycle PSNR": PerImage(content.psnr, ("input", "cycled")),
    "cycle SSIM": PerImage(content.ssim, ("input", "cycled")),
    "identity L1": PerImage(content.l1, ("target", "same")),
    "structure kept": PerImage(content.structure_kept, ("input", "translated")),
    "error inside": PerImage(content.error_inside, ("translated", "truth", "mask")),
    "error outside": PerImage(content.error_outside, ("translated", "truth", "mask")),
}
"""Scores of content by their names.

`input` is a test image, `translated` its translation, `cycled` the translation back, `target` a test image of the other
domain, and `same` what the generator makes of it. The built-in data set also knows the `truth` of each translation, and
the `mask` of what must change.
"""


def mean_value(numbers: np.ndarray, seed: int) -> Value:
    """The mean of one number for each image, with its interval.

    Args:
        numbers: [n].
        seed: draws the resampled images.
    """
    mean = float(numbers.mean())
    found = _resampled(lambda i, _: float(numbers[i].mean()), (len(numbers), 1), RESAMPLES, seed)
    return Value(mean, *_interval(mean, found))


def share_value(hits: np.ndarray) -> Value:
    """The share of images of which something is true, with its interval, which is not empty for a share of 0 or 1.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Args:
        hits: bool [n].
    """
    num, share, z = len(hits), float(hits.mean()), NORMAL_DEVIATIONS
    middle, half = share + z**2 / (2 * num), z * math.sqrt(share * (1 - share) / num + (z / (2 * num)) ** 2)
    low, high = ((middle + sign * half) / (1 + z**2 / num) for sign in (-1, 1))
    return Value(share, max(low, 0.0), min(high, 1.0))


def _with_few_resamples(
    value: float, score: Callable[[np.ndarray, np.ndarray], float], sizes: tuple[int, ...], seed: int
) -> Value:
    """A distance that cannot be below 0, with its interval from the standard deviation of a few resampled ones."""
    half = FEW_DEVIATIONS * float(np.std(_resampled(score, sizes, FEW_RESAMPLES, seed), ddof=1))
    return Value(value, max(value - half, 0.0), value + half)


def _interval(value: float, found: np.ndarray) -> tuple[float, float]:
    """Where 95 % of the resampled scores lie, moved to the score itself.

    They have to be moved because a set in which images occur twice has larger distances.

    Source: Efron and Tibshirani 1993, chapter 13; the shift is that of chapter 10.
    """
    low, high = np.percentile(found - found.mean(), [2.5, 97.5]) + value
    return float(low), float(high)


def _resampled(
    score: Callable[[np.ndarray, np.ndarray], float], sizes: tuple[int, ...], number: int, seed: int
) -> np.ndarray:
    """So many scores of images that are drawn again with replacement."""
    draw = np.random.default_rng([seed, 1])
    return np.array([score(*(draw.integers(size, size=size) for size in sizes)) for _ in range(number)])
