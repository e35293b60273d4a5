"""Image files to arrays, with Pillow and NumPy only.

8-bit colours are brought to sRGB by the colour profile of the file; profiles of grey images are
not applied.

Pillow reduces 16-bit colour (RGB, CMYK, grey with alpha) to 8 bits; 16-bit grey is exact.
"""

import functools
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from cyclegan.data.headers import MAX_PIXELS, BadImage, Header, opened, orientation_of
from cyclegan.errors import UsageError

ValueRange = tuple[float, float]

_PHOTOMETRIC = 262
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def read_pixels(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels of an image file as they are stored, upright.

    Returns:
        [height, width, 1 to 4] (grey or RGB, then alpha where the file has it), in the file's own type and
        range: bool, uint8, uint16, int32 or float32. 16-bit colour: uint8.

    Raises:
        BadImage: if the file cannot be read, is empty, no image, damaged, truncated or over-large.
    """
    with opened(path, max_pixels) as (image, header):
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


def _load(image: ImageFile, header: Header) -> np.ndarray:
    """Decodes the pixels: [height, width, 1 to 4], upright."""
    orientation = orientation_of(image)
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
    with opened(source, max_pixels) as (image, header):
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
