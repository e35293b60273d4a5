"""The files behind a score: which ones they are, and the truth that is known of some of them."""

import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from cyclegan.data.sources import Source
from cyclegan.data.stripes import read_marker

Item = TypeVar("Item")


def drawn(items: Sequence[Item], number: int, seed: int) -> list[Item]:
    """At most so many of the items, drawn by the seed, in their order."""
    chosen = np.random.default_rng(seed).permutation(len(items))[:number]
    return [items[index] for index in sorted(chosen.tolist())]


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
