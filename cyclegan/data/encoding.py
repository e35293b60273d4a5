"""Encodes arrays as image files."""

import io
import math
from typing import Literal

import numpy as np
import tensorflow as tf
from PIL import Image

from cyclegan.data.decoding import ValueRange

FileFormat = Literal["png", "jpeg", "webp"]
SUFFIX_OF: dict[FileFormat, str] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}

LARGEST_SIDE: dict[FileFormat, int] = {"jpeg": 65500, "webp": 16383}
"""The largest height and width in pixels. PNG has no limit."""

FEWEST_LEVELS = 64
"""A value range that spans less than this, such as 0 to 1, cannot be written as whole numbers."""


def encode(
    image: np.ndarray, file_format: FileFormat = "png", *, value_range: ValueRange | None = None, quality: int = 95
) -> bytes:
    """Encodes an image so that decoding with the same `value_range` gives its values back.

    A range that ends above 255 is written with 16 bits in PNG; JPEG and WebP stretch it over their 8 bits. A range that
    starts below 0 is shifted up to start at 0, because these formats cannot hold negative values. A range that spans
    less than `FEWEST_LEVELS` or ends above 65535 does not fit the whole numbers of a file; PNG stretches it over 16
    bits. JPEG has no alpha, so the image is laid over white.

    Args:
        image: float [height, width, channels] in [-1, 1]. Values beyond are clipped, and NaN becomes -1. The channels
            are 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and alpha. Alpha uses the whole range of the
            file's type.
        file_format: "png", "jpeg" or "webp".
        value_range: the values (low, high) in the file for -1 and 1. None means 0 and 255.
        quality: quality of JPEG and WebP, 1 to 100.

    Returns:
        The bytes of a file. Values are rounded to the nearest level.

    Raises:
        ValueError: if `image` has another shape, or if a side is longer than `LARGEST_SIDE`.
    """
    if image.ndim != 3 or image.shape[-1] not in (1, 2, 3, 4):
        raise ValueError(f"`image` must be [height, width, 1 to 4]. Received: shape {list(image.shape)}.")
    if max(image.shape[:2]) > LARGEST_SIDE.get(file_format, math.inf):
        raise ValueError(
            f"A side of a {file_format} file may have at most {LARGEST_SIDE[file_format]} pixels."
            f" Received: shape {list(image.shape)}."
        )
    num_colours = 1 if image.shape[-1] <= 2 else 3
    low, high, largest = levels_of(value_range, file_format)
    share = (np.nan_to_num(np.asarray(image, np.float32), nan=-1.0).clip(-1, 1) + 1) / 2
    colours, alpha = np.split(share, [num_colours], axis=-1)
    if alpha.size and file_format == "jpeg":
        colours, alpha = colours * alpha + (1 - alpha), alpha[..., :0]
    levels = np.concatenate([low + colours * (high - low), alpha * largest], axis=-1)
    pixels = np.rint(levels.clip(0, largest))
    if largest == 65535:  # Pillow cannot write 16-bit colour
        data: bytes = tf.io.encode_png(pixels.astype(np.uint16)).numpy()
        return data
    pixels = pixels.astype(np.uint8)
    buffer = io.BytesIO()
    # Level 3 takes a third of the time of the default level 6 and makes photos 3 % larger.
    options = {"compress_level": 3} if file_format == "png" else {"quality": quality}
    Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def levels_of(value_range: ValueRange | None, file_format: FileFormat) -> tuple[float, float, int]:
    """The values that `encode` writes for -1 and 1, and the largest value of the file's type, 255 or 65535."""
    low, high = value_range or (0.0, 255.0)
    low, high = (0.0, high - low) if low < 0 else (low, high)
    is_whole = high - low >= FEWEST_LEVELS
    if is_whole and high <= 255:
        return low, high, 255
    if file_format != "png":
        return 0.0, 255.0, 255
    return (low, high, 65535) if is_whole and high <= 65535 else (0.0, 65535.0, 65535)
