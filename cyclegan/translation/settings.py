"""How images are translated, and what became of each."""

import dataclasses
from typing import Literal, NamedTuple

from cyclegan.bundles.info import Direction
from cyclegan.translation.layout import Size
from cyclegan.translation.naming import Job


@dataclasses.dataclass(frozen=True)
class Settings:
    """How images are translated.

    Attributes:
        direction: "ab" translates from A to B, "ba" from B to A.
        size: see `Translator`.
        tile: see `Translator`.
        memory_limit: the most bytes that all devices together may take for images; None: half of the memory that is
            free.
        max_pixels: images with more pixels are refused before they are decoded; None: the limit in the bundle.
        quality: the quality of JPEG and WebP files, from 1 to 100.
        batch_size: the largest number of images that are translated at once.
        overwrite: whether files that exist are written again.
    """

    direction: Direction
    size: Size = "auto"
    tile: int | None = None
    memory_limit: float | None = None
    max_pixels: int | None = None
    quality: int = 95
    batch_size: int = 4
    overwrite: bool = False


class Note(NamedTuple):
    """Something that the user should know about a translation.

    Attributes:
        kind: what the note is about. Notes of one kind may differ in their numbers.
        text: the note in one line.
    """

    kind: Literal["first frame", "strips", "scaled"]
    text: str


class Outcome(NamedTuple):
    """What became of one image.

    Attributes:
        job: the image.
        reason: why the image failed, in one line without its path; None: it was translated.
        notes: what the user should know about the translation.
        stops: whether no other image can be written either, for example because the disk is full.
    """

    job: Job
    reason: str | None
    notes: tuple[Note, ...] = ()
    stops: bool = False
