"""Which extractor a request means: the classifier of the two domains, which has to be trained, or one that exists."""

import pathlib
from collections.abc import Callable

import numpy as np

from cyclegan.config.sections import DataConfig
from cyclegan.data.sources import Source
from cyclegan.data.views import read_batches
from cyclegan.errors import CycleganError, UsageError, first_line
from cyclegan.evaluation.classifier import SIZE, Domains, domain_classifier
from cyclegan.evaluation.features import INCEPTION, Extractor, load_network
from cyclegan.evaluation.inception import load_inception
from cyclegan.evaluation.reading import drawn

CLASSIFIER = "classifier"

MIN_CLASSIFIED = 4
"""It learns nothing from fewer images of a domain."""

MAX_CLASSIFIED = 2000
"""The classifier is trained on at most so many images of each domain."""


def load_extractor(request: str, size: int) -> Extractor:
    """An extractor that needs no training.

    Args:
        request: "inception" for the network of published scores, or as `load_network` takes it.
        size: it is tried on an image with sides of so many pixels.

    Raises:
        UsageError: if it does not exist or cannot be used.
        CycleganError: if its weights cannot be had.
    """
    try:
        extractor = load_inception() if request == INCEPTION else load_network(request)
        found = extractor.compute(np.zeros((1, size, size, 3), np.float32))
        if found.values.ndim != 2:
            raise ValueError(f"its output has the shape {found.values.shape}")
    except CycleganError:
        raise
    except Exception as error:  # a network of something other than images can raise anything
        raise UsageError(
            f"The features must be those of a network that takes RGB images. {request} cannot be used so:"
            f" {first_line(error)}"
        ) from error
    return extractor


def choose_extractor(
    request: str,
    source: Source,
    config: DataConfig,
    say: Callable[[str], None],
    seed: int,
    cache_dir: pathlib.Path | None,
) -> Extractor:
    """The extractor of `--features` or `evaluation.features`.

    Args:
        request: "classifier", for the classifier of the two domains, or as `load_extractor` takes it.
        source: the data set, on whose training images the classifier is trained.
        config: says how these images are read, and their channels.
        say: called with a line before the classifier is trained, and for each image that cannot be read.
        seed: see `domain_classifier`; it also draws the images if there are more than 2,000 in a domain.
        cache_dir: see `domain_classifier`.

    Raises:
        UsageError: if it cannot be used.
        CycleganError: if its weights cannot be had.
    """
    if request != CLASSIFIER:
        return load_extractor(request, config.crop_size)
    if config.channels_a != config.channels_b or config.channels_a == 4:
        raise UsageError("The classifier needs domains with the same number of channels, 1 or 3.")
    small, sets = config.model_copy(update={"crop_size": SIZE}), []
    for paths in (source.train_a, source.train_b):
        batches = list(read_batches(drawn(paths, MAX_CLASSIFIED, seed), 3, small, say))
        if (number := sum(map(len, batches))) < MIN_CLASSIFIED:
            raise UsageError(
                f"The classifier needs at least {MIN_CLASSIFIED} training images of each domain that can be read."
                f" Received: {number} of {len(paths)}, of which the first is {paths[0]}."
            )
        sets.append(np.concatenate(batches))
    return domain_classifier(Domains(*sets), seed, cache_dir, say)
