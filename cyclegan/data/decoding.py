"""Image files to arrays and back, with Pillow and NumPy only.

A file is recognised by its first bytes, whatever its name says. Its size is checked in the header, before any
pixel is decoded. Colour profiles are not applied.

Pillow reduces 16-bit colour (RGB, CMYK, grey with alpha) to 8 bits; 16-bit grey is exact.
"""

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from cyclegan.errors import CycleganError, UsageError

BadKind = Literal["unreadable", "truncated", "over-large"]
ValueRange = tuple[float, float]
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
MAX_PIXELS = 100_000_000  # 10,000 x 10,000: 1.2 GB as float32 RGB

# Readers are called directly, not through Image.open: that has its own, global limit on the size, and would
# try every format that Pillow knows.
_READERS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (rb"\xff\xd8\xff", JpegImageFile),
    (rb"\x89PNG\r\n\x1a\n", PngImageFile),
    (rb"GIF8[79]a", GifImageFile),
    (rb"RIFF.{4}WEBP", WebPImageFile),
    (rb"II[*+]\0|MM\0[*+]", TiffImageFile),
    (rb"BM", BmpImageFile),
)

# The readers of GIF and rotated TIFF consult that limit all the same. `max_pixels` replaces its warning.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_ORIENTATION, _PHOTOMETRIC, _BITS_PER_SAMPLE, _PLANAR_CONFIGURATION = 0x0112, 262, 258, 284
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


class BadImage(CycleganError):
    """An image file that cannot be used.

    Attributes:
        path: the file, or None where only its bytes were given.
        reason: what is wrong with it, one line without the path.
        kind: "unreadable", "truncated" or "over-large".
    """

    def __init__(self, path: Path | None, reason: str, kind: BadKind = "unreadable"):
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason
        self.kind = kind


@dataclass(frozen=True)
class Header:
    """What the header of an image file says.

    Attributes:
        width: in pixels, after the EXIF rotation.
        height: in pixels, after the EXIF rotation.
        mode: Pillow's name for the kind of pixels, such as "RGB", "L" or "I;16".
        bits: per channel, in the file: 1, 8, 12, 16 or 32. Fewer than 8 are widened to 8, except 1.
    """

    width: int
    height: int
    mode: str
    bits: int


def list_images(folder: Path) -> list[Path]:
    """All image files in `folder` and the folders within, by suffix.

    Hidden files and folders and other suffixes are passed over. Links to folders are followed, each folder
    is visited once.

    Returns:
        `folder / ...`, sorted by the POSIX form of the path below `folder`.

    Raises:
        UsageError: if `folder` is no folder.
        CycleganError: if a folder cannot be listed.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder.")
    images: list[Path] = []
    visited: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_cannot_list):
        real_parent = os.path.realpath(parent)
        if real_parent in visited:  # a link back to where we have been
            folders.clear()
            continue
        visited.add(real_parent)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = (Path(parent, name) for name in names if not name.startswith("."))
        images += [path for path in files if path.suffix.lower() in SUFFIXES]
    return sorted(images, key=lambda path: path.relative_to(folder).as_posix())


def read_header(path: Path, max_pixels: int = MAX_PIXELS) -> Header:
    """Size and depth of an image file, without decoding it.

    Raises:
        BadImage: if the file cannot be read, is empty, no image, or has more than `max_pixels` pixels.
    """
    with _opened(path, max_pixels) as (_, header):
        return header


def read_pixels(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels of an image file as they are stored, upright.

    Returns:
        [height, width, 1 to 4] (grey or RGB, then alpha where the file has it), in the file's own type and
        range: bool, uint8, uint16, int32 or float32. 16-bit colour: uint8.

    Raises:
        BadImage: if the file cannot be read, is empty, no image, damaged, truncated or over-large.
    """
    with _opened(path, max_pixels) as (image, header):
        return _load(image, header)


def read_image(path: Path, channels: int, value_range: ValueRange | None, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Like `decode`, of a file. `BadImage` carries its path."""
    return _decode(path, channels, value_range, max_pixels)


def decode(
    data: bytes, channels: int, value_range: ValueRange | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decode an encoded image: the first frame, upright.

    Grey becomes RGB by repetition, RGB becomes grey as ITU-R BT.601 luma. Alpha is dropped (the colours below
    it are kept) unless `channels` is 4; it is opaque where the file has none.

    Args:
        data: a whole JPEG, PNG, GIF, WebP, TIFF or BMP file.
        channels: 1, 3 or 4.
        value_range: the (low, high) values in the file that become -1 and 1, the same for all images of a
            data set. None: the range of the file's type, which is 0..255 for 8 bits and 0..65535 for 16.
        max_pixels: the largest width times height.

    Returns:
        float32 [height, width, channels] in [-1, 1]; values beyond `value_range` are clipped.

    Raises:
        BadImage: if the data is no image, damaged, truncated, larger than `max_pixels`, not finite, or of a
            type without a natural range (floating-point, signed or 32-bit TIFF) and `value_range` is None.
        UsageError: if `channels` or `value_range` is not allowed.
    """
    return _decode(data, channels, value_range, max_pixels)


def encode_png(image: np.ndarray) -> bytes:
    """Encode an image as 8-bit PNG.

    Args:
        image: float [height, width, 1, 3 or 4] in [-1, 1]; values beyond are clipped, NaN becomes -1.

    Returns:
        The bytes of a PNG file, values rounded to the nearest of 256 levels.

    Raises:
        ValueError: if the shape is another.
    """
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(f"`image` must be [height, width, 1, 3 or 4]. Received: shape {list(image.shape)}.")
    levels = np.nan_to_num((np.asarray(image, np.float32) + 1) * 127.5, nan=0.0)
    pixels = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _cannot_list(error: OSError) -> NoReturn:
    raise CycleganError(f"{error.filename}: cannot be listed: {error.strerror}.") from error


@contextmanager
def _opened(source: Path | bytes, max_pixels: int) -> Iterator[tuple[ImageFile, Header]]:
    """An image that is not decoded yet. Whatever is raised in here becomes BadImage."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
            start = file.read(32)
            length = file.seek(0, os.SEEK_END)
            file.seek(0)
            image = _reader(start, length)(file)
            width, height = image.size
            if width * height > max_pixels:
                raise BadImage(None, f"{width} x {height} are more than {max_pixels:,} pixels", "over-large")
            if _orientation(image) >= 5:
                width, height = height, width
            yield image, Header(width, height, image.mode, _bits(image, start))
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise _bad_image(None if isinstance(source, bytes) else source, error) from error


def _reader(start: bytes, length: int) -> type[ImageFile]:
    if not start:
        raise BadImage(None, "the file is empty")
    for pattern, reader in _READERS:
        if re.match(pattern, start, re.DOTALL):
            # Pillow does not say that a WebP file is cut short, but the file tells its own length.
            if reader is WebPImageFile and length < 8 + int.from_bytes(start[4:8], "little"):
                raise BadImage(None, "the file is truncated", "truncated")
            return reader
    raise BadImage(None, f"not a BMP, GIF, JPEG, PNG, TIFF or WebP image: it starts with {start[:16]!r}")


def _bad_image(path: Path | None, error: Exception) -> BadImage:
    if isinstance(error, BadImage):
        return BadImage(path, error.reason, error.kind)
    if isinstance(error, OSError) and error.errno:
        return BadImage(path, f"cannot be read: {error.strerror}")
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return BadImage(path, str(error), "over-large")
    if "truncated" in str(error).lower():
        return BadImage(path, "the file is truncated", "truncated")
    text = " ".join(str(error).split())
    return BadImage(path, f"damaged or of an unsupported kind: {text or type(error).__name__}")


def _orientation(image: ImageFile) -> int:
    """The EXIF orientation that is left to be applied, 1 to 8."""
    if isinstance(image, TiffImageFile):
        return 1  # Pillow rotates TIFF by itself, the size in the header included
    try:
        # Not image.getexif(): that of PNG decodes the image, to find EXIF data behind the pixels.
        orientation = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data does not make the pixels bad
        return 1
    return orientation if orientation in range(1, 9) else 1


def _bits(image: ImageFile, start: bytes) -> int:
    if image.mode == "1":
        return 1
    if isinstance(image, PngImageFile):
        return max(8, start[24])
    if isinstance(image, TiffImageFile) and image.mode not in ("P", "PA"):
        bits = max(8, *image.tag_v2.get(_BITS_PER_SAMPLE, (8,)))
        if bits > 8 and len(image.getbands()) > 1 and image.tag_v2.get(_PLANAR_CONFIGURATION) == 2:
            raise ValueError("16-bit colours in separate planes")  # Pillow would return noise
        return bits
    return 8


def _load(image: ImageFile, header: Header) -> np.ndarray:
    """Decodes the pixels: [height, width, 1 to 4], upright."""
    orientation = _orientation(image)
    inverted = isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0
    image.load()
    pixels = np.asarray(_plain(image, header))
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if inverted and pixels.dtype == np.uint16:  # "white is zero": Pillow sees to it only up to 8 bits
        pixels = np.uint16(2**header.bits - 1) - pixels
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _plain(image: Image.Image, header: Header) -> Image.Image:
    """To grey or RGB, perhaps with alpha."""
    if image.mode in ("L", "RGB") and header.bits == 8 and "transparency" in image.info:
        return image.convert("RGBA")  # one grey or colour stands for transparent
    converted = {"P": "RGBA", "PA": "RGBA", "La": "LA", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB"}
    return image.convert(converted[image.mode]) if image.mode in converted else image


def _decode(source: Path | bytes, channels: int, value_range: ValueRange | None, max_pixels: int) -> np.ndarray:
    if channels not in (1, 3, 4):
        raise UsageError(f"`channels` must be 1, 3 or 4. Received: {channels}.")
    if value_range and not value_range[0] < value_range[1]:
        raise UsageError(f"`value_range` must be (low, high) with low < high. Received: {value_range}.")
    with _opened(source, max_pixels) as (image, header):
        type_range = (0, 2**header.bits - 1)
        if value_range is None and (image.mode == "F" or image.mode == "I" and isinstance(image, TiffImageFile)):
            kind = "floating-point" if image.mode == "F" else "signed or 32-bit"
            raise BadImage(None, f"{kind} values have no natural range: set `data.value_range` to [low, high]")
        pixels = _load(image, header)
        if not np.isfinite(pixels).all():
            raise BadImage(None, "it holds values that are not finite")

    # float32 holds every 16-bit value exactly, but not every 32-bit one
    values: np.ndarray = pixels.astype(np.float64 if pixels.dtype == np.int32 else np.float32)
    if header.bits == 16 and pixels.dtype == np.uint8:
        values = values * 257  # back to the units of the file, which are those of `value_range`
    colours, alpha = np.split(values, [3 if values.shape[-1] >= 3 else 1], axis=-1)
    if channels == 1 and colours.shape[-1] == 3:
        colours = np.dot(colours, _LUMA)[:, :, np.newaxis]
    colours = _scale(colours, value_range or type_range)
    if channels >= 3 and colours.shape[-1] == 1:
        colours = np.repeat(colours, 3, axis=-1)
    if channels < 4:
        return colours
    alpha = _scale(alpha, type_range) if alpha.size else np.ones_like(colours[:, :, :1])
    return np.concatenate([colours, alpha], axis=-1)


def _scale(values: np.ndarray, value_range: ValueRange) -> np.ndarray:
    """`value_range` to [-1, 1], clipped; both ends exact."""
    low, high = value_range
    scaled = 2 * ((values - low) / (high - low)) - 1
    return np.ascontiguousarray(np.clip(scaled, -1, 1), np.float32)
