"""Image files to arrays, with Pillow and NumPy only.

A file is recognised by its first bytes, whatever its name says. Its size is checked in the header, before any
pixel is decoded. 8-bit colours are brought to sRGB by the colour profile of the file; profiles of grey images are
not applied.

Pillow reduces 16-bit colour (RGB, CMYK, grey with alpha) to 8 bits; 16-bit grey is exact.
"""

import dataclasses
import functools
import io
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageCms
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


@dataclasses.dataclass(frozen=True)
class Header:
    """What the header of an image file says.

    Attributes:
        width: in pixels, after the EXIF rotation.
        height: in pixels, after the EXIF rotation.
        mode: Pillow's name for the kind of pixels, such as "RGB", "L" or "I;16".
        bits: per channel, in the file: 1, 8, 12, 16 or 32. Fewer than 8 are widened to 8, except 1.
        has_frames: whether more frames or pages follow the first; only `read_header` looks for them.
    """

    width: int
    height: int
    mode: str
    bits: int
    has_frames: bool = False


def read_header(path: Path, max_pixels: int = MAX_PIXELS) -> Header:
    """Size and depth of an image file, without decoding it.

    Raises:
        BadImage: if the file cannot be read, is empty, no image, or has more than `max_pixels` pixels.
    """
    with _opened(path, max_pixels) as (image, header):
        return dataclasses.replace(header, has_frames=_has_frames(image))


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
    return _decode(path, channels, value_range, max_pixels)[0]


def read_image_and_alpha(
    path: Path, channels: int, value_range: ValueRange | None, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, np.ndarray | None]:
    """Like `read_image`, with the alpha that it drops.

    Returns:
        The image and its alpha, float32 [height, width, 1] in [-1, 1]. None where the file has none, and where
        `channels` is 4: it is then in the image.
    """
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
    return _decode(data, channels, value_range, max_pixels)[0]


@contextmanager
def _opened(source: Path | bytes, max_pixels: int) -> Iterator[tuple[ImageFile, Header]]:
    """An image that is not decoded yet. Whatever is raised in here becomes BadImage."""
    try:
        if not isinstance(source, bytes) and not stat.S_ISREG(source.stat().st_mode):
            raise BadImage(None, "no regular file")  # reading from a pipe would wait for ever
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


def _has_frames(image: ImageFile) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # damage behind the first frame does not make that one bad
        return True


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
    """To grey or RGB in sRGB, perhaps with alpha."""
    profile = image.info.get("icc_profile")
    if image.mode in ("L", "RGB") and header.bits == 8 and "transparency" in image.info:
        image = image.convert("RGBA")  # one grey or colour stands for transparent
    elif image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode in ("PA", "La"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if profile and image.mode in ("RGB", "RGBA", "CMYK"):
        image = _to_srgb(image, profile)
    return image.convert("RGB") if image.mode in ("CMYK", "YCbCr", "LAB") else image


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        transform = _srgb_transform(profile, image.mode)
        return ImageCms.applyTransform(image, transform) or image if transform else image
    except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile, or one of another kind of image
        return image


@functools.lru_cache(maxsize=16)
def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the colours of a profile to sRGB; None where they are the same."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if "sRGB" in ImageCms.getProfileDescription(source):
        return None
    target = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, target, mode, "RGBA" if mode == "RGBA" else "RGB")


def _decode(
    source: Path | bytes, channels: int, value_range: ValueRange | None, max_pixels: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The image, and its alpha if it has one that is not a channel of the image."""
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
    colours, rest = np.split(values, [3 if values.shape[-1] >= 3 else 1], axis=-1)
    if channels == 1 and colours.shape[-1] == 3:
        colours = np.dot(colours, _LUMA)[:, :, np.newaxis]
    colours = _scale(colours, value_range or type_range)
    if channels >= 3 and colours.shape[-1] == 1:
        colours = np.repeat(colours, 3, axis=-1)
    alpha = _scale(rest, type_range) if rest.size else None
    if channels < 4:
        return colours, alpha
    return np.concatenate([colours, np.ones_like(colours[:, :, :1]) if alpha is None else alpha], axis=-1), None


def _scale(values: np.ndarray, value_range: ValueRange) -> np.ndarray:
    """`value_range` to [-1, 1], clipped; both ends exact."""
    low, high = value_range
    scaled = values - low
    # In place: a new array for each operation takes eight times as long.
    scaled /= high - low
    scaled *= 2
    scaled -= 1
    return np.ascontiguousarray(scaled.clip(-1, 1, out=scaled), np.float32)
