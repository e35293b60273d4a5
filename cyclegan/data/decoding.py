"""Image files to arrays, with Pillow and NumPy only.

8-bit colours are converted to sRGB with the colour profile of the file. Profiles of grey images are not applied.

Pillow reduces 16-bit colour (RGB, CMYK, grey with alpha) to 8 bits. 16-bit grey stays exact.
"""

import functools
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from cyclegan.data.headers import MAX_PIXELS, BadImage, Header, opened, orientation_of
from cyclegan.errors import UsageError

ValueRange = tuple[float, float]

_PHOTOMETRIC = 262
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


class Pixels(NamedTuple):
    """An image in the depth of its file.

    Attributes:
        values: [height, width, 1 to 4]: grey or RGB, then alpha if the file has it. The values are bool, uint8, uint16,
            int32 or float32.
        bits: bits of a channel in the file. Values of uint8 with 16 bits are colours that Pillow has reduced, and with
            1 bit they are 0 and 255.
    """

    values: np.ndarray
    bits: int


def read_pixels(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels of an image file as they are stored, upright.

    Returns:
        [height, width, 1 to 4]: grey or RGB, then alpha if the file has it. The values have the type and the range of
        the file: bool, uint8, uint16, int32 or float32; 16-bit colour is uint8.

    Raises:
        BadImage: if the file cannot be read, is empty, is not an image, or is damaged, truncated or over-large.
    """
    with opened(path, max_pixels) as (image, header):
        return load_opened(image, header)


def read_image(path: Path, channels: int, value_range: ValueRange | None, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes an image file like `decode`. `BadImage` names its path."""
    return _decode(path, channels, value_range, max_pixels)[0]


def read_image_and_alpha(
    path: Path, channels: int, value_range: ValueRange | None, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, np.ndarray | None]:
    """Decodes an image file like `read_image`, and returns the alpha that `read_image` drops.

    Returns:
        The image, and its alpha as float32 [height, width, 1] in [-1, 1]. The alpha is None if the file has none, or if
        `channels` is 4, because it is then a channel of the image.
    """
    return _decode(path, channels, value_range, max_pixels)


def decode(
    data: bytes, channels: int, value_range: ValueRange | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decodes the first frame of an encoded image, upright.

    Grey becomes RGB by repetition, and RGB becomes grey as ITU-R BT.601 luma. If `channels` is 4, the fourth channel is
    alpha, which is opaque if the file has none. Otherwise alpha is dropped, and the colours below it are kept.

    Args:
        data: the bytes of a whole JPEG, PNG, GIF, WebP, TIFF or BMP file.
        channels: the number of channels to return: 1, 3 or 4.
        value_range: the values (low, high) in the file that become -1 and 1; they should be the same for all images of
            a data set. None means the range of the file's type: 0 to 255 for 8 bits, 0 to 65535 for 16 bits.
        max_pixels: the largest width times height that is allowed.

    Returns:
        float32 [height, width, channels] in [-1, 1]; values beyond `value_range` are clipped.

    Raises:
        BadImage: if the data is not an image, is damaged or truncated, has more than `max_pixels` pixels, or holds
            values that are not finite; also if `value_range` is None and the type has no natural range, as
            floating-point, signed and 32-bit TIFF.
        UsageError: if `channels` or `value_range` is not allowed.
    """
    return _decode(data, channels, value_range, max_pixels)[0]


def load_opened(image: ImageFile, header: Header) -> np.ndarray:
    """Decodes an image that `opened` has opened, as `read_pixels` returns it."""
    orientation = orientation_of(image)
    inverted = isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0
    image.load()
    pixels = np.asarray(_plain(image, header))
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if inverted and pixels.dtype == np.uint16:  # Pillow inverts "white is zero" only up to 8 bits
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
    """Converts an image to grey or to RGB in sRGB, and keeps its alpha."""
    profile = image.info.get("icc_profile")
    if image.mode in ("L", "RGB") and header.bits == 8 and "transparency" in image.info:
        image = image.convert("RGBA")  # one value of the file means transparent
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
    except (ImageCms.PyCMSError, OSError, ValueError):  # the profile is damaged or belongs to another kind of image
        return image


@functools.lru_cache(maxsize=16)
def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The conversion from the colours of a profile to sRGB; None if the profile is sRGB."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if "sRGB" in ImageCms.getProfileDescription(source):
        return None
    target = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, target, mode, "RGBA" if mode == "RGBA" else "RGB")


def _decode(
    source: Path | bytes, channels: int, value_range: ValueRange | None, max_pixels: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The image, and its alpha unless there is none or it is a channel of the image."""
    if channels not in (1, 3, 4):
        raise UsageError(f"`channels` must be 1, 3 or 4. Received: {channels}.")
    if value_range and not value_range[0] < value_range[1]:
        raise UsageError(f"`value_range` must be (low, high) with low < high. Received: {value_range}.")
    with opened(source, max_pixels) as (image, header):
        pixels = load_in_range(image, header, value_range)
    return as_image(pixels, channels, value_range)


def load_in_range(image: ImageFile, header: Header, value_range: ValueRange | None) -> Pixels:
    """Decodes an image that `opened` has opened.

    Raises:
        BadImage: if it cannot be mapped to [-1, 1], because it has no natural range or holds values that are not
            finite, or if it is damaged.
    """
    if value_range is None and (image.mode == "F" or image.mode == "I" and isinstance(image, TiffImageFile)):
        kind = "floating-point" if image.mode == "F" else "signed or 32-bit"
        raise BadImage(None, f"its {kind} values have no natural range: set `data.value_range` to [low, high]")
    values = load_opened(image, header)
    if values.dtype == np.float32 and not np.isfinite(values).all():
        raise BadImage(None, "it holds values that are not finite")
    return Pixels(values, header.bits)


def as_image(pixels: Pixels, channels: int, value_range: ValueRange | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels as `decode` returns them, and their alpha unless there is none or it is a channel of the image."""
    type_range = (0, 2**pixels.bits - 1)
    # float32 holds every 16-bit value exactly, but not every 32-bit value
    values: np.ndarray = pixels.values.astype(np.float64 if pixels.values.dtype == np.int32 else np.float32)
    if pixels.values.dtype == np.uint8:  # back to the units of the file, which `value_range` is given in
        values = values * 257 if pixels.bits == 16 else values / 255 if pixels.bits == 1 else values
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
    """Maps `value_range` to [-1, 1] and clips; both ends are exact."""
    low, high = value_range
    scaled = values - low
    # In place, because a new array for each operation takes eight times as long.
    scaled /= high - low
    scaled *= 2
    scaled -= 1
    return np.ascontiguousarray(scaled.clip(-1, 1, out=scaled), np.float32)
