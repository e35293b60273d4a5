"""Scores, and how they were made: two scores may be compared only if they were made in the same way."""

import importlib.metadata
from typing import Any

import pydantic

from cyclegan.evaluation.scores import Value


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
        direction: "ab" or "ba"; empty for images that any program made.
        weights_sha256: of the weights of the generator that was scored; empty for images that any program made.
        distances: for each distance to the real test images of the target domain those of the translations, and of
            what stands beside them as a reference.
        content: scores of the translations alone.
        protocol: how the scores were made.
    """

    title: str
    direction: str = ""
    weights_sha256: str = ""
    distances: dict[str, dict[str, Value]]
    content: dict[str, Value]
    protocol: Protocol


def versions() -> dict[str, str]:
    """The versions of the packages that can change a score."""
    found: dict[str, Any] = {}
    for name in ("cyclegan", "tensorflow", "keras", "numpy", "pillow", "ai-edge-litert"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
