"""From a bundle and images, or from two folders of images, to scores with the protocol that they were made by."""

import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image

from cyclegan.bundles.bundle import Bundle
from cyclegan.bundles.info import BundleInfo, Direction
from cyclegan.config.sections import DataConfig
from cyclegan.data.sources import Source
from cyclegan.data.views import read_batches
from cyclegan.errors import CycleganError, UsageError
from cyclegan.evaluation.features import Extractor
from cyclegan.evaluation.measuring import MIN_IMAGES, Passage, look_at
from cyclegan.evaluation.protocol import Protocol, Scores, versions
from cyclegan.evaluation.reading import drawn, fingerprint_of, truth_files
from cyclegan.evaluation.scores import (
    FEATURE_DISTANCES,
    PATCH_DISTANCES,
    Distance,
    ImageSet,
    Value,
    mean_value,
    share_value,
)

SMALLEST_SIZE = 32
"""Images are compared with sides of at least so many pixels."""

Say = Callable[[str], None]


class _Found(NamedTuple):
    """What is kept of a set of images, and which images they are."""

    images: ImageSet
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
    images: pathlib.Path | None = None,
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
        images: a folder in which the images that are compared are written as PNG files, rounded to 8 bits; None writes
            none.

    Raises:
        UsageError: if the model or the data set cannot be scored so.
        CycleganError: if an image cannot be written.
    """
    info = bundle.info
    refuse_size(info, size)
    config = reading_config(info, size or info.crop_size)
    domains = ((source.test_a, source.train_a), (source.test_b, source.train_b))
    (inputs, _), (targets, training) = domains if direction == "ab" else domains[::-1]
    channels_in, channels_out = info.channels(direction)
    for paths, name in ((inputs, "source"), (targets, "target")):
        if len(paths) < MIN_IMAGES:
            raise UsageError(
                f"A score needs at least {MIN_IMAGES} test images of the {name} domain. Received: {len(paths)}, in"
                f" {source.name}."
            )
    if extractor and 4 in (channels_in, channels_out):
        raise UsageError("Features are of grey or RGB images. This model has 4 channels: leave out --features.")
    beside = drawn(training, len(inputs), seed)
    passage = Passage(bundle.generator(direction), bundle.generator("ba" if direction == "ab" else "ab"), channels_in)

    def read(paths: Sequence[pathlib.Path], channels: int) -> Iterator[np.ndarray]:
        return read_batches(paths, channels, config, say)

    known = []
    if truth := truth_files(inputs, source):  # each image must stand beside its own truth
        channels = (channels_in, channels_out, 1)
        rows = [
            row
            for row in zip(inputs, *truth, strict=True)
            if all(any(True for _ in read([path], number)) for path, number in zip(row, channels, strict=True))
        ]
        inputs, *columns = zip(*rows, strict=True) if rows else ((), (), ())
        known = [read(paths, number) for paths, number in zip(columns, channels[1:], strict=True)]

    def look(name: str, batches: Iterable[np.ndarray], paths: Sequence[pathlib.Path]) -> _Found:
        return _look_at(_written(batches, images / name) if images else batches, extractor, paths, seed)

    sets = {
        "translated": look("translated", passage.translated(read(inputs, channels_in), *known), inputs),
        "untranslated": look("untranslated", read(inputs, channels_out), inputs),
        "real training images": look("real_training", read(beside, channels_out), beside),
    }
    target = look("real_test", passage.real(read(targets, channels_out)), targets)
    how = f"{config.resize} to {config.crop_size} pixels, antialiased bicubic"
    title = f"{bundle.folder}, step {info.provenance.step}, {direction}"
    numbers = passage.numbers()
    content = {name: mean_value(each, seed) for name, each in numbers.items() if np.isfinite(each).all()}
    for name in numbers.keys() - content.keys():
        say(f"Left out: the {name}, which is not a finite number for each image.")
    scores = _scores(title, sets, target, content, extractor, how, seed)
    return scores.model_copy(update={"direction": direction, "weights_sha256": info.weights[direction].sha256})


def refuse_size(info: BundleInfo, size: int | None) -> None:
    """Makes sure that a model can translate images of a size; None is that of its training.

    Raises:
        UsageError: if it cannot.
    """
    smallest = max(info.min_size, SMALLEST_SIZE)
    if size and (size % info.size_multiple or size < smallest):
        raise UsageError(
            f"`--size` must be a multiple of {info.size_multiple}, at least {smallest}, for this generator. Received:"
            f" {size}."
        )


def reading_config(info: BundleInfo, size: int) -> DataConfig:
    """How the images of a model are read, at another size."""
    given = {"crop_size": size, "value_range": info.value_range, "max_pixels": info.max_pixels}
    given |= {"channels_a": info.channels_a, "channels_b": info.channels_b}
    return DataConfig.model_validate(info.provenance.config.get("data", {}) | given, strict=False)


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


def _look_at(
    batches: Iterable[np.ndarray], extractor: Extractor | None, paths: Sequence[pathlib.Path], seed: int
) -> _Found:
    images = look_at(batches, extractor, seed)
    return _Found(images, f"{images.num} images, {fingerprint_of(paths)}")


def _written(batches: Iterable[np.ndarray], folder: pathlib.Path) -> Iterator[np.ndarray]:
    """The same batches, whose images are written to a folder on their way.

    Raises:
        CycleganError: if one cannot be written.
    """
    number = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for batch in batches:
            for image in batch:
                pixels = np.rint((np.clip(image, -1, 1) + 1) * 127.5).astype(np.uint8)
                picture = PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
                picture.save(folder / f"{number:05d}.png")
                number += 1
            yield batch
    except OSError as error:
        raise CycleganError(f"The images in {folder} cannot be written: {error.strerror}.") from error


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
        named = {extractor.title(name): distance for name, distance in FEATURE_DISTANCES.items()}
    named |= PATCH_DISTANCES
    distances = {
        name: {label: distance(target.images, found.images, seed) for label, found in sets.items()}
        for name, distance in named.items()
    }
    if extractor and target.images.classes is not None:
        common = int(np.bincount(target.images.classes).argmax())
        distances[f"called {extractor.label(common)} by {extractor.name}"] = {
            label: share_value(np.equal(np.asarray(found.images.classes), common))
            for label, found in (sets | {"real test images": target}).items()
        }
    protocol = Protocol(
        images={label: found.fingerprint for label, found in (sets | {"real test images": target}).items()},
        preprocessing=how,
        extractor=extractor and extractor.name,
        extractor_digest=extractor and extractor.digest,
        seed=seed,
        versions=versions(),
    )
    return Scores(title=title, distances=distances, content=content, protocol=protocol)
