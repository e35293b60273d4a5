"""From a bundle and images, or from two folders of images, to scores with the protocol that they were made by."""

import importlib.metadata
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pydantic
import tensorflow as tf

from cyclegan.bundle import Bundle, BundleInfo, Direction
from cyclegan.config.sections import DataConfig
from cyclegan.data.sources import Source
from cyclegan.errors import UsageError
from cyclegan.evaluation.classifier import SIZE, Domains, domain_classifier
from cyclegan.evaluation.features import Extractor
from cyclegan.evaluation.patches import draw_patches, pyramid
from cyclegan.evaluation.reading import Say, fingerprint_of, read_batches, reading_config, truth_files
from cyclegan.evaluation.scores import (
    CONTENT,
    FEATURE_DISTANCES,
    PATCH_DISTANCES,
    Distance,
    ImageSet,
    Value,
    mean_value,
)

MAX_PATCHED = 256
"""SWD uses the first so many images of a set."""

MAX_CLASSIFIED = 2000
"""The classifier is trained on at most so many images of each domain."""

MIN_IMAGES = 2


class Protocol(pydantic.BaseModel):
    """What must be equal for two scores to be compared."""

    images: dict[str, str]  # what was compared: the number of images and their fingerprint
    preprocessing: str
    extractor: str | None
    extractor_digest: str | None
    seed: int
    versions: dict[str, str]


class Scores(pydantic.BaseModel):
    """The scores of one direction.

    Attributes:
        title: what was scored.
        distances: for each distance to the real test images of the target domain those of the translations, and of
            what stands beside them as a reference.
        content: scores of the translations alone.
        protocol: how the scores were made.
    """

    title: str
    distances: dict[str, dict[str, Value]]
    content: dict[str, Value]
    protocol: Protocol


class _Found(NamedTuple):
    """What is kept of a set of images."""

    images: ImageSet
    classes: np.ndarray | None
    fingerprint: str


def evaluate_bundle(
    bundle: Bundle,
    source: Source,
    direction: Direction,
    extractor: Extractor | None,
    say: Say,
    *,
    size: int | None = None,
    seed: int = 0,
) -> Scores:
    """Scores the translations of the test images of a data set.

    All images are read as in training, at the size of the crop: `data.resize` says how.

    Args:
        bundle: the trained model.
        source: the data set. It must have test images of both domains.
        direction: "ab" or "ba".
        extractor: the network for the distances of features; None leaves these out.
        say: called with a line for each image that cannot be read.
        size: read the images at this size; None means the size of the crop in training.
        seed: draws subsets, patches, and the training images that stand beside the scores.

    Raises:
        UsageError: if the model or the data set cannot be scored so.
    """
    info = bundle.info
    config = reading_config(info, size or info.crop_size)
    domains = ((source.test_a, source.train_a), (source.test_b, source.train_b))
    (inputs, _), (targets, training) = domains if direction == "ab" else domains[::-1]
    channels_in, channels_out = info.channels(direction)
    for paths, name in ((inputs, "source"), (targets, "target")):
        if len(paths) < MIN_IMAGES:
            raise UsageError(
                f"A score needs at least {MIN_IMAGES} test images of the {name} domain. Received: {len(paths)}."
            )
    if extractor and 4 in (channels_in, channels_out):
        raise UsageError("Features are of grey or RGB images. This model has 4 channels: leave out --features.")
    beside = _drawn(training, len(inputs), seed)
    measured = _Content(bundle, direction)

    def read(paths: Sequence[pathlib.Path], channels: int) -> Iterator[np.ndarray]:
        return read_batches(paths, channels, config, say)

    truth = truth_files(inputs, source)
    known = [read(truth[0], channels_out), read(truth[1], 1)] if truth else []
    sets = {
        "translated": _look_at(measured.translated(read(inputs, channels_in), *known), extractor, inputs, seed),
        "untranslated": _look_at(read(inputs, channels_out), extractor, inputs, seed),
        "real training images": _look_at(read(beside, channels_out), extractor, beside, seed),
    }
    target = _look_at(measured.real(read(targets, channels_out)), extractor, targets, seed)
    how = f"{config.resize} to {config.crop_size} pixels, antialiased bicubic"
    title = f"{bundle.folder}, step {info.provenance.step}, {direction}"
    return _scores(title, sets, target, measured.values(seed), extractor, how, seed)


class _Content:
    """Measures what images keep of themselves while they pass through the generators."""

    def __init__(self, bundle: Bundle, direction: Direction):
        self._forward = bundle.generator(direction)
        self._back = bundle.generator("ba" if direction == "ab" else "ab")
        self._numbers: dict[str, list[np.ndarray]] = {name: [] for name in CONTENT}

    def translated(self, batches: Iterator[np.ndarray], *truth: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """The translations of test images, of which the truth and the mask may be known."""
        for batch, *known in zip(batches, *truth, strict=True):
            fakes = self._forward(batch, training=False)
            images = {"input": batch, "translated": fakes, "cycled": self._back(fakes, training=False)}
            self._note(images | dict(zip(("truth", "mask"), known, strict=False)))
            yield fakes.numpy()

    def real(self, batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """The real images of the target domain themselves."""
        for batch in batches:
            if batch.shape[-1] == self._forward.input_shape[-1]:
                self._note({"target": batch, "same": self._forward(batch, training=False)})
            yield batch

    def values(self, seed: int) -> dict[str, Value]:
        """The means over all images."""
        return {name: mean_value(np.concatenate(each), seed) for name, each in self._numbers.items() if each}

    def _note(self, images: dict[str, Any]) -> None:
        for name, score in CONTENT.items():
            if all(each in images for each in score.between):
                given = [tf.convert_to_tensor(images[each]) for each in score.between]
                self._numbers[name].append(score.compute(*given).numpy())


def classifier_of(info: BundleInfo, source: Source, say: Say, seed: int, cache_dir: pathlib.Path | None) -> Extractor:
    """The classifier of the two domains of a data set, trained on at most 2,000 training images of each.

    Args:
        info: the model, which says how images are read.
        source: the data set.
        say: called with a line before it is trained, and for each image that cannot be read.
        seed: see `domain_classifier`.
        cache_dir: see `domain_classifier`.

    Raises:
        UsageError: if the domains do not have the same number of channels, or a domain has no image that can be read.
    """
    if info.channels_a != info.channels_b or info.channels_a == 4:
        raise UsageError("`--features classifier` needs domains with the same number of channels, 1 or 3.")
    config = reading_config(info, SIZE)
    sets = []
    for paths in (source.train_a, source.train_b):
        batches = list(read_batches(_drawn(paths, MAX_CLASSIFIED, seed), 3, config, say))
        if not batches:
            raise UsageError(f"None of the training images can be read. The first is {paths[0]}.")
        sets.append(np.concatenate(batches))
    return domain_classifier(Domains(*sets), seed, cache_dir, say)


def evaluate_images(
    real: Sequence[pathlib.Path],
    fake: Sequence[pathlib.Path],
    extractor: Extractor | None,
    say: Say,
    *,
    size: int,
    seed: int = 0,
) -> Scores:
    """Compares two lists of image files, whatever program made them. All are resized to squares of `size` pixels.

    Args:
        real: the real images, at least two.
        fake: the images to score, at least two.
        extractor: see `evaluate_bundle`.
        say: see `evaluate_bundle`.
        size: the sides of the images that are compared, in pixels.
        seed: see `evaluate_bundle`.
    """
    config = DataConfig(load_size=size, crop_size=size, resize="stretch")
    target, scored = (_look_at(read_batches(paths, 3, config, say), extractor, paths, seed) for paths in (real, fake))
    how = f"stretch to {size} pixels, antialiased bicubic"
    return _scores("images", {"images": scored}, target, {}, extractor, how, seed)


def _drawn(paths: Sequence[pathlib.Path], number: int, seed: int) -> list[pathlib.Path]:
    """At most so many of the files, drawn by the seed, in their order."""
    chosen = np.random.default_rng(seed).permutation(len(paths))[:number]
    return [paths[index] for index in sorted(chosen.tolist())]


def _look_at(
    batches: Iterator[np.ndarray], extractor: Extractor | None, paths: Sequence[pathlib.Path], seed: int
) -> _Found:
    """Goes through a set of images once, and keeps what the distances need."""
    features, classes, patches, channels, num = [], [], [], 0, 0
    for batch in batches:
        channels, num = batch.shape[-1], num + len(batch)
        if extractor:
            found = extractor.compute(np.repeat(batch, 3, axis=-1) if channels == 1 else batch)
            features.append(found.values)
            classes.append(found.classes)
        if num <= MAX_PATCHED:
            patches.append([draw_patches(level, seed).astype(np.float32) for level in pyramid(batch)])
    if num < MIN_IMAGES:
        raise UsageError(f"A score needs at least {MIN_IMAGES} images that can be read. Received: {num}.")
    levels = [np.concatenate(level) for level in zip(*patches, strict=True)]
    known = [each for each in classes if each is not None]
    return _Found(
        ImageSet(np.concatenate(features) if features else None, levels, channels),
        np.concatenate(known) if known else None,
        f"{num} images, {fingerprint_of(paths)}",
    )


def _scores(
    title: str,
    sets: dict[str, _Found],
    target: _Found,
    content: dict[str, Value],
    extractor: Extractor | None,
    how: str,
    seed: int,
) -> Scores:
    named: dict[str, Distance] = {}
    if extractor:
        named = {f"{name}-{extractor.name}": distance for name, distance in FEATURE_DISTANCES.items()}
    named |= PATCH_DISTANCES
    distances = {
        name: {label: distance(target.images, found.images, seed) for label, found in sets.items()}
        for name, distance in named.items()
    }
    if extractor and target.classes is not None:
        common = int(np.bincount(target.classes).argmax())
        distances[f"called {extractor.label(common)} by {extractor.name}"] = {
            label: mean_value(np.equal(np.asarray(found.classes), common).astype(float), seed)
            for label, found in (sets | {"real test images": target}).items()
        }
    protocol = Protocol(
        images={label: found.fingerprint for label, found in (sets | {"real test images": target}).items()},
        preprocessing=how,
        extractor=extractor and extractor.name,
        extractor_digest=extractor and extractor.digest,
        seed=seed,
        versions=_versions(),
    )
    return Scores(title=title, distances=distances, content=content, protocol=protocol)


def _versions() -> dict[str, str]:
    found: dict[str, Any] = {}
    for name in ("cyclegan", "tensorflow", "keras", "numpy", "pillow", "ai-edge-litert"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
