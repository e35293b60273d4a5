"""A small network that tells the two domains apart, trained on their real images.

It is worth as much as its accuracy on real test images, which stands beside what it says of translations. Its last
hidden layer serves as features where no other extractor is there.

Source: the architecture follows LeCun et al. 1998, LeNet-5, with ReLU, max pooling and dropout.
"""

import contextlib
import hashlib
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from cyclegan.evaluation.features import Extractor, Features, resized
from cyclegan.runtime.array_files import read_arrays, write_arrays

SIZE = 64
"""It sees images of so many pixels a side."""

MAX_EPOCHS, PATIENCE = 100, 10
VALIDATION_PART = 0.1
BATCH = 32

_FORMAT = 1
"""Raise it when the architecture or the training changes."""


class Domains(NamedTuple):
    """Real training images of both domains, float32 [n, 64, 64, channels] in [-1, 1]."""

    a: np.ndarray
    b: np.ndarray


def build_classifier(channels: int) -> keras.Sequential:
    """The untrained network: from images [n, 64, 64, channels] in [-1, 1] to the probabilities [n, 2] of A and B."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, channels)),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(84, activation="relu", name="features"),
            layers.Dense(2, activation="softmax"),
        ]
    )


def domain_classifier(
    domains: Domains,
    seed: int = 0,
    cache_dir: pathlib.Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Extractor:
    """A classifier as an extractor of features. It is trained unless it is in the cache.

    A tenth of the images decides when the training ends: after 10 epochs without a lower loss.

    Args:
        domains: the training images.
        seed: draws the weights, the order and the images that decide.
        cache_dir: the folder in which it is kept; None keeps nothing.
        say: called with a line before it is trained.
    """
    channels = domains.a.shape[-1]
    network = build_classifier(channels)
    key = hashlib.sha256(f"{_FORMAT}\0{keras.__version__}\0{seed}\0{domains.a.shape}".encode())
    for images in domains:
        key.update(np.ascontiguousarray(images).tobytes())
    path = cache_dir and cache_dir / "classifiers" / f"{key.hexdigest()[:32]}.npz"
    if path and (kept := read_arrays(path)):
        network.set_weights([kept[str(number)] for number in range(len(kept))])
    else:
        say(f"Training the classifier on {len(domains.a)} images of A and {len(domains.b)} of B.")
        _train(network, domains, seed)
        if path:
            weights = {str(number): array for number, array in enumerate(network.get_weights())}
            with contextlib.suppress(OSError):  # it is trained again the next time
                path.parent.mkdir(parents=True, exist_ok=True)
                write_arrays(path, **weights)
    both = keras.Model(network.inputs, [network.get_layer("features").output, network.outputs[0]])

    def compute(images: np.ndarray) -> Features:
        values, probabilities = both.predict(resized(images, SIZE, SIZE), batch_size=BATCH, verbose=0)
        return Features(values, probabilities.argmax(axis=1))

    digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in network.get_weights()))
    return Extractor("classifier", digest.hexdigest(), compute, ("A", "B"))


def _train(network: keras.Sequential, domains: Domains, seed: int) -> None:
    keras.utils.set_random_seed(seed)
    images = np.concatenate(domains)
    labels = np.repeat([0, 1], [len(domains.a), len(domains.b)])
    order = np.random.default_rng(seed).permutation(len(images))
    num_validation = max(2, round(VALIDATION_PART * len(images)))
    validation, training = order[:num_validation], order[num_validation:]
    counts = np.bincount(labels[training], minlength=2)
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    network.fit(
        np.concatenate([images[training], images[training, :, ::-1]]),  # mirrored too
        np.concatenate([labels[training]] * 2),
        batch_size=BATCH,
        epochs=MAX_EPOCHS,
        validation_data=(images[validation], labels[validation]),
        class_weight={label: len(training) / (2 * max(count, 1)) for label, count in enumerate(counts)},
        callbacks=[keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)],
        verbose=0,
    )
