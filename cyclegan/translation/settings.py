"""How images are translated, and what became of one."""

import dataclasses
from typing import NamedTuple

from cyclegan.bundle import Direction
from cyclegan.translation.naming import Job
from cyclegan.translation.translator import Size


@dataclasses.dataclass(frozen=True)
class Settings:
    """How images are translated.

    Attributes:
        direction: "ab" for A to B, "ba" for B to A.
        size: see `Translator`.
        tile: see `Translator`.
        memory_limit: bytes for all devices together; None: half of what is free.
        max_pixels: images with more are refused before they are decoded; None: as in the bundle.
        quality: of JPEG and WebP.
        batch_size: the largest number of images that are translated at once.
        overwrite: whether files that are there are written again.
    """

    direction: Direction
    size: Size = "auto"
    tile: int | None = None
    memory_limit: float | None = None
    max_pixels: int | None = None
    quality: int = 95
    batch_size: int = 4
    overwrite: bool = False


class Outcome(NamedTuple):
    """What became of one image.

    Attributes:
        job: the image.
        reason: why it failed, one line without the path; None: it is translated.
        notes: what the user should know of it.
        stops: whether nothing more can be written, as on a full disk.
    """

    job: Job
    reason: str | None
    notes: tuple[str, ...]
    stops: bool
