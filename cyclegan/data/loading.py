"""Training images at the size at which they are cropped.

The resize belongs to loading and not to the random views, because it is the same in each epoch. Its result has the
depth of the file, so that it can be kept in a cache, and it is converted to float32 afterwards. So an image has the
same bits whether it was decoded just now or comes from the cache.
"""

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL.ImageFile import ImageFile

from cyclegan.config.sections import DataConfig
from cyclegan.data.decoding import Pixels, ValueRange, as_image, load_in_range
from cyclegan.data.headers import BadImage, Header, opened
from cyclegan.data.image_cache import ImageCache
from cyclegan.data.resizing import resize, resized_size

IN_FLIGHT_BYTES = 2**29
"""Images that are decoded at the same time need at most this much memory, unless a single one needs more."""

_BYTES_PER_PIXEL = 12
"""RGB takes 4 bytes in Pillow and 3 in NumPy, and 3 more while NumPy takes it over. Other kinds take up to 12."""

_DRAFT_GAP = 2
"""A JPEG file is decoded with at least this many times the sides that it is resized to."""

_MAX_LENGTH = 32
"""An image that has to be enlarged may be at most this many times as long as wide, because it takes that much memory.

Panoramas are usually below 12.
"""

_CACHED_PIXELS, _CACHED_REDUCTION = 2**20, 4
"""An image is kept if it has at least so many pixels, and so many times the pixels that it is resized to."""


class ByteBudget:
    """A number of bytes that threads share.

    Args:
        limit: the number of bytes.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, size: int) -> Iterator[None]:
        """Waits until `size` bytes are left, or everything if `size` is over the limit, and gives them back later."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + size <= self._limit)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


def load_image(
    path: Path, channels: int, size: int, config: DataConfig, budget: ByteBudget, cache: ImageCache | None = None
) -> np.ndarray:
    """Reads an image file, and resizes it as `data.resize` says.

    Args:
        path: the file.
        channels: the number of channels to return: 1, 3 or 4.
        size: `data.load_size` for a training image, `data.crop_size` for a sample image.
        config: how to resize, the value range and the limit of the size.
        budget: bounds the memory of the images that are decoded at the same time.
        cache: where resized images are kept; None decodes each time.

    Returns:
        float32 [height, width, channels] in [-1, 1], not smaller than the crop.

    Raises:
        BadImage: if the file cannot be used, see `cyclegan.data.decoding.decode`, or if it would be resized to more
            than `data.max_pixels`.
    """
    key = _cache_key(path, channels == 4, size, config) if cache else None
    pixels = cache.read(key) if cache and key else None
    if pixels is None:
        with opened(path, config.max_pixels) as (image, header):
            height, width = resized_size(header.height, header.width, size, config)
            _refuse_narrow(path, header, height, width, config.max_pixels)
            _allow_draft(image, header, height, width)
            with budget.taking(max(math.prod(image.size), height * width) * _BYTES_PER_PIXEL):
                values, bits = load_in_range(image, header, config.value_range)
                values = _wanted(values, channels == 4)
                pixels = Pixels(resize(_clipped(values, bits, config.value_range), height, width), bits)
        if cache and key and header.width * header.height >= max(_CACHED_PIXELS, _CACHED_REDUCTION * height * width):
            cache.write(key, pixels)
    return as_image(pixels, channels, config.value_range)[0]


def _refuse_narrow(path: Path, header: Header, height: int, width: int, max_pixels: int) -> None:
    """Refuses an image that the resize would make much larger than others, because its short side is so short."""
    text = f"it is too narrow: {header.width} x {header.height} pixels would become {width} x {height}"
    is_enlarged = height * width > header.height * header.width
    if is_enlarged and max(height, width) > _MAX_LENGTH * min(height, width):
        text += f", and an image that has to be enlarged may be at most {_MAX_LENGTH} times as long as wide"
        raise BadImage(path, text, "over-large")
    if height * width > max_pixels:
        raise BadImage(path, f"{text}, which is more than `data.max_pixels` = {max_pixels}", "over-large")


def _allow_draft(image: ImageFile, header: Header, height: int, width: int) -> None:
    """Lets Pillow decode a JPEG file at 1/2, 1/4 or 1/8 of its size, where enough pixels are left for the resize.

    At the same size it decodes all of them.
    """
    is_turned = (image.width, image.height) != (header.width, header.height)
    stored = (height, width) if is_turned else (width, height)
    image.draft(image.mode, (_DRAFT_GAP * stored[0], _DRAFT_GAP * stored[1]))


def _wanted(values: np.ndarray, with_alpha: bool) -> np.ndarray:
    """The colours, and the alpha if it is wanted."""
    return values if with_alpha or values.shape[-1] in (1, 3) else values[:, :, : values.shape[-1] - 1]


def _clipped(values: np.ndarray, bits: int, value_range: ValueRange | None) -> np.ndarray:
    """Clips the colours to the value range, so that the resize does not spread values beyond it."""
    if value_range is None or values.dtype == bool:
        return values
    low, high = value_range
    if values.dtype != np.float32:
        unit = 257 if bits == 16 and values.dtype == np.uint8 else 1
        limits = np.iinfo(values.dtype)
        low = min(max(math.floor(low / unit), limits.min), limits.max)
        high = min(max(math.ceil(high / unit), limits.min), limits.max)
    num_colours = 3 if values.shape[-1] >= 3 else 1
    return np.concatenate([values[:, :, :num_colours].clip(low, high), values[:, :, num_colours:]], axis=-1)


def _cache_key(path: Path, with_alpha: bool, size: int, config: DataConfig) -> str | None:
    """Everything that the pixels in the cache depend on; None if the file cannot be found."""
    try:
        status = path.stat()
    except OSError:
        return None  # opening the file tells what is wrong
    identity = f"{os.path.abspath(path)}\0{status.st_size}\0{status.st_mtime_ns}"
    return f"{identity}\0{config.resize} {size} {with_alpha} {config.value_range}"
