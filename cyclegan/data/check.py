"""Checks the images of a folder before training."""

import filecmp
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cyclegan.data.decoding import read_pixels
from cyclegan.data.headers import MAX_PIXELS, ReadFailure, read_header
from cyclegan.data.listing import SPLITS, SUFFIXES, list_images
from cyclegan.errors import UsageError


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one image.

    Attributes:
        path: path of the image, relative to the folder that was checked.
        kind: what is wrong; one image can have several findings.
        reason: the details in one line.
    """

    path: Path
    kind: Literal["unreadable", "truncated", "over-large", "tiny", "constant", "duplicate"]
    reason: str


@dataclass(frozen=True)
class CheckResult:
    """The result of `check_folder`.

    Attributes:
        counts: number of images, good and bad, by folder. The folders are trainA, trainB, testA and testB, as far as
            they exist. If none exists, they are the folders directly below the checked one, and "." for its own images.
        findings: everything that is wrong, in the order in which the images were read.
    """

    counts: dict[str, int]
    findings: list[Finding]


def check_folder(
    folder: Path,
    min_size: int = 32,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Decodes every image below a folder, one after another, and reports what is wrong.

    A duplicate has the same pixels as an image that was read before. It may have another lossless format, store grey as
    RGB, or have an alpha that is opaque everywhere. Constant images are not compared.

    Args:
        folder: a folder that holds some of trainA, trainB, testA and testB, or any other folder of images. In the first
            case nothing else in the folder is read.
        min_size: images with a side shorter than this many pixels are "tiny".
        max_pixels: images with more pixels than this are "over-large" and are not decoded.
        progress: called with (done, total) after each image.

    Raises:
        UsageError: if the folder does not exist or holds no images.
    """
    parts = [name for name in SPLITS if (folder / name).is_dir()]
    if parts:
        paths = [path for name in parts for path in list_images(folder / name)]
    else:
        paths = list_images(folder)
    if not paths:
        raise UsageError(f"{folder} holds no images. Formats looked for: {' '.join(sorted(SUFFIXES))}.")

    counts = Counter(dict.fromkeys(parts, 0))
    counts.update(_part(path.relative_to(folder)) for path in paths)
    findings: list[Finding] = []
    first_with: dict[bytes, Path] = {}  # hash of the pixels -> the first image that has them
    for done, path in enumerate(paths, start=1):
        findings += _check_image(folder, path.relative_to(folder), min_size, max_pixels, first_with)
        if progress:
            progress(done, len(paths))
    return CheckResult(dict(counts), findings)


def _part(path: Path) -> str:
    return path.parts[0] if len(path.parts) > 1 else "."


def _check_image(
    folder: Path, path: Path, min_size: int, max_pixels: int, first_with: dict[bytes, Path]
) -> Iterator[Finding]:
    try:
        header = read_header(folder / path, max_pixels)
        pixels = read_pixels(folder / path, max_pixels)
    except ReadFailure as error:
        yield Finding(path, error.kind, error.reason)
        return
    if min(header.width, header.height) < min_size:
        reason = f"it has {header.width} x {header.height} pixels, and a side is shorter than {min_size}"
        yield Finding(path, "tiny", reason)
    if (pixels == pixels[0, 0]).all():
        yield Finding(path, "constant", f"all pixels are {pixels[0, 0].tolist()}")
        return
    first = first_with.setdefault(_fingerprint(pixels), path)
    if first != path:
        same_bytes = filecmp.cmp(folder / first, folder / path, shallow=False)
        encoding = "" if same_bytes else " (encoded differently)"
        yield Finding(path, "duplicate", f"it is the same image as {first.as_posix()}{encoding}{_across(first, path)}")


def _fingerprint(pixels: np.ndarray) -> bytes:
    """A hash that is equal for equal images, even if grey is stored as RGB or there is an opaque alpha."""
    count = pixels.shape[-1]
    colours, alpha = np.split(pixels, [3 if count >= 3 else 1], axis=-1)
    if (colours == colours[:, :, :1]).all():
        colours = colours[:, :, :1]
    digest = hashlib.blake2b(f"{colours.shape} {colours.dtype}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(colours).data)
    if not (alpha == 255).all():
        digest.update(np.ascontiguousarray(alpha).data)
    return digest.digest()


def _across(first: Path, second: Path) -> str:
    one, other = _part(first), _part(second)
    if not {one, other} <= set(SPLITS):
        return ""
    splits = ", across train and test" if one[:-1] != other[:-1] else ""
    domains = ", across domains A and B" if one[-1] != other[-1] else ""
    return splits + domains
