"""The scores of a run while it trains: the same images each time, and no intervals, so that they are soon computed."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cyclegan.evaluation.features import Extractor
from cyclegan.evaluation.measuring import Generator, Passage, look_at
from cyclegan.evaluation.scores import FEATURE_DISTANCES, PATCH_DISTANCES, Distance, ImageSet, Value

BATCH = 8

SMALLEST = 1e-6
"""A distance of untranslated images that is below this counts as this."""

METRICS = {"kid": "KID", "frechet": "Frechet", "swd": "SWD", "share": "share"}
"""For each value of `evaluation.metric`, the score whose relation to that of untranslated images it is."""


class Images(NamedTuple):
    """Real images of both domains, float32 [n, size, size, channels] in [-1, 1], at least two of each.

    Attributes:
        a: images of domain A.
        b: images of domain B.
        a_as_b: the images of domain A with the channels of domain B.
        b_as_a: the images of domain B with the channels of domain A.
    """

    a: np.ndarray
    b: np.ndarray
    a_as_b: np.ndarray
    b_as_a: np.ndarray


class _Direction(NamedTuple):
    """One direction, with what does not change while a run trains."""

    forward: Generator
    back: Generator
    inputs: np.ndarray
    targets: np.ndarray
    target: ImageSet
    scale: dict[str, float]


class Interrupted(Exception):
    """Somebody waits for the scores to be given up."""


class Validator:
    """Scores two generators, whose weights may change between two calls.

    `protocol` is the same for two validators whose scores may be compared.

    Args:
        images: the validation images.
        generator_ab: translates domain A to B.
        generator_ba: translates domain B to A.
        extractor: the network for the distances of features and for the share of a class; None leaves these out.
        seed: draws patches, lines and subsets.
    """

    def __init__(
        self, images: Images, generator_ab: Generator, generator_ba: Generator, extractor: Extractor | None, seed: int
    ):
        self._extractor, self._seed = extractor, seed
        self.protocol = _protocol(images, extractor, seed)
        self._distances: dict[str, Distance] = ({} if extractor is None else FEATURE_DISTANCES) | PATCH_DISTANCES
        ab, ba = _traced(generator_ab), _traced(generator_ba)
        self._directions = {
            "ab": self._direction(ab, ba, images.a, images.b, images.a_as_b),
            "ba": self._direction(ba, ab, images.b, images.a, images.b_as_a),
        }

    @property
    def metrics(self) -> list[str]:
        """The metrics that can be computed, which depends on the extractor."""
        return [key for key, name in METRICS.items() if name in self._directions["ab"].scale]

    def scores(self, is_interrupted: Callable[[], bool] = lambda: False) -> dict[str, float]:
        """The scores of both directions, with names such as `ab/SWD`, and the metrics that are made of them.

        A metric is the mean over both directions of a distance, divided by that of the untranslated images: near 0 for
        real images of the target domain, 1 for a copy of the input. `share` is the part that is missing of the share of
        real images which the extractor takes for the commonest class of the target domain.

        Args:
            is_interrupted: asked before each batch whether to give up.

        Raises:
            Interrupted: if it says so.
        """

        def batches(images: np.ndarray) -> Iterator[np.ndarray]:
            for batch in _batches(images):
                if is_interrupted():
                    raise Interrupted
                yield batch

        found: dict[str, float] = {}
        relations: dict[str, list[float]] = {}
        for label, direction in self._directions.items():
            passage = Passage(direction.forward, direction.back, direction.inputs.shape[-1])
            translated = look_at(passage.translated(batches(direction.inputs)), self._extractor, self._seed)
            for _ in passage.real(batches(direction.targets)):
                pass
            distances = {name: one.value for name, one in self._compare(direction.target, translated).items()}
            found |= {f"{label}/{name}": value for name, value in distances.items()}
            found |= {f"{label}/{name}": float(numbers.mean()) for name, numbers in passage.numbers().items()}
            for name, value in distances.items():
                relation = value / direction.scale[name]
                relations.setdefault(name, []).append(1 - relation if name == "share" else relation)
        metrics = {key: float(np.mean(relations[name])) for key, name in METRICS.items() if name in relations}
        return found | metrics

    def _direction(
        self, forward: Generator, back: Generator, inputs: np.ndarray, targets: np.ndarray, as_targets: np.ndarray
    ) -> _Direction:
        target = look_at(_batches(targets), self._extractor, self._seed)
        untranslated = look_at(_batches(as_targets), self._extractor, self._seed)
        # KID of domains that are nearly alike can be 0 or below; the width of its interval hardly can.
        compared = self._compare(target, untranslated, with_interval=True)
        scale = {name: max(one.value, one.high - one.value, SMALLEST) for name, one in compared.items()}
        if target.classes is not None:
            scale["share"] = _share(target, target)
        return _Direction(forward, back, inputs, targets, target, scale)

    def _compare(self, target: ImageSet, images: ImageSet, with_interval: bool = False) -> dict[str, Value]:
        found = {
            name: distance(target, images, self._seed, with_interval and name == "KID")
            for name, distance in self._distances.items()
        }
        if target.classes is not None:
            share = _share(target, images)
            found["share"] = Value(share, share, share)
        return found


def _protocol(images: Images, extractor: Extractor | None, seed: int) -> str:
    """The first digits of the SHA-256 of everything that the scores depend on, other than the generators."""
    digest = hashlib.sha256(f"{seed}\0{extractor and (extractor.name, extractor.digest)}".encode())
    for each in images:
        digest.update(np.ascontiguousarray(each).tobytes())
    return digest.hexdigest()[:16]


def _share(target: ImageSet, images: ImageSet) -> float:
    """The share of images that are taken for the commonest class of the target domain."""
    assert target.classes is not None and images.classes is not None
    return float(np.mean(images.classes == np.bincount(target.classes).argmax()))


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


def _traced(generator: Generator) -> Generator:
    """The same generator, whose operations are not started one by one from Python."""
    function: Any = tf.function(lambda images: generator(images, training=False), autograph=False)
    return lambda images, training: function(images)
