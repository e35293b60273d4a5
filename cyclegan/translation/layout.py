"""How an image of a given size is translated: the size at which the network works, padding, strips, memory."""

from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

import keras
import tensorflow as tf

from cyclegan.bundles.info import BundleInfo, Direction
from cyclegan.data.headers import BadImage
from cyclegan.errors import UsageError
from cyclegan.runtime.memory import free_bytes, peak_live_bytes
from cyclegan.translation.tiling import tiled_bytes

Size = int | Literal["auto", "native"]

SMALLEST_TILE = 32
"""The fewest rows that a strip gets. With fewer, most of the time would be spent on the neighbouring rows."""

LARGEST_TILE = 1024

LARGE_IMAGE = 1_000_000
"""Images with more pixels than this are translated one by one."""

WORKSPACE = 2
"""The memory that the network takes for an image in one piece, divided by the memory of the feature maps that exist at
the same time. Convolutions need the rest as working memory. Measured on a CPU for 9 blocks and 64 filters: 1.0 KB a
pixel, of which the feature maps take 0.52 KB."""


class Layout(NamedTuple):
    """How images of one size are translated.

    Attributes:
        height: the height in pixels at which the network works, before padding.
        width: the width in pixels at which the network works, before padding.
        padded_height: the height that the network gets, a multiple of what its architecture needs.
        padded_width: the width that the network gets, a multiple of what its architecture needs.
        tile: the number of rows in a strip; None: the image is translated in one piece.
    """

    height: int
    width: int
    padded_height: int
    padded_width: int
    tile: int | None


class Layouts:
    """Chooses layouts for one generator within a memory limit.

    Args:
        generator: the network, in float32.
        info: the description of its bundle.
        direction: the direction in which the generator translates.
        size: see `Translator`.
        tile: see `Translator`.
        memory_limit: see `Translator`.

    Raises:
        UsageError: if `size` or `tile` is not allowed.
    """

    def __init__(
        self,
        generator: keras.Model,
        info: BundleInfo,
        direction: Direction,
        *,
        size: Size,
        tile: int | None,
        memory_limit: float | None,
    ):
        if size not in ("auto", "native") and not (isinstance(size, int) and size > 0):
            raise UsageError(f"`size` must be auto, native or a number of pixels. Received: {size}.")
        if tile is not None and tile < 1:
            raise UsageError(f"`tile` must be a positive number of rows. Received: {tile}.")
        self._generator, self._info, self._size, self._tile = generator, info, size, tile
        self._channels_in, self._channels_out = info.channels(direction)
        self._memory_limit = memory_limit or free_bytes() / 2
        # The search builds a network, and each image asks for its layout twice.
        self._tile_that_fits = lru_cache(maxsize=64)(self._find_tile)

    def choose(self, height: int, width: int) -> Layout:
        """Chooses the layout for images of one size.

        Raises:
            BadImage: if such an image does not fit into the memory limit, not even in strips.
        """
        if (needed := self._image_bytes(height, width)) > self._memory_limit:
            raise self._too_large(height, width, needed, ". Raise the limit, or use smaller images")
        shorter = min(height, width)
        target = self._size if isinstance(self._size, int) else shorter
        if self._size == "auto":
            target = min(shorter, 2 * self._info.crop_size)
        scaled = [max(1, round(side * target / shorter)) for side in (height, width)]
        multiple, smallest = self._info.size_multiple, self._info.min_size
        padded = [-(-max(side, smallest) // multiple) * multiple for side in scaled]
        tile = self._tile
        if tile is None and self.bytes_for(*padded) > self._memory_limit:
            tile = self._tile_that_fits(*padded)
        return Layout(scaled[0], scaled[1], padded[0], padded[1], tile)

    def batch_size(self, height: int, width: int, largest: int) -> int:
        """The number of images of one size that may be translated at once, at least 1 and at most `largest`.

        Raises:
            BadImage: if not even one such image fits into the memory limit.
        """
        layout = self.choose(height, width)
        # A batch makes the network faster only where images are small.
        if layout.tile or height * width > LARGE_IMAGE:
            return 1
        needed = self.bytes_for(layout.padded_height, layout.padded_width)
        if (layout.height, layout.width) != (height, width):
            needed += self._image_bytes(height, width)
        return max(1, min(largest, int(self._memory_limit / needed)))

    def bytes_for(self, height: int, width: int) -> float:
        """Peak memory in bytes to translate one padded image in one piece, without the weights and the program."""
        return WORKSPACE * self._map_bytes(height, width) + self._image_bytes(height, width)

    def _map_bytes(self, height: int, width: int) -> float:
        """The memory of the feature maps that exist at the same time."""
        return self._bytes_per_pixel * height * width

    def _image_bytes(self, height: int, width: int) -> int:
        """The memory of an image and its translation, which are copied to be padded, cropped and encoded."""
        return 4 * 4 * (self._channels_in + self._channels_out) * height * width

    @cached_property
    def _bytes_per_pixel(self) -> float:
        side = max(self._info.min_size, -(-256 // self._info.size_multiple) * self._info.size_multiple)
        spec = tf.TensorSpec([1, side, side, self._channels_in], tf.float32)
        graph = tf.function(lambda image: self._generator(image, training=False)).get_concrete_function(spec).graph
        return peak_live_bytes(graph) / side**2

    def _find_tile(self, height: int, width: int) -> int:
        """The number of rows in a strip that fits into the memory beside the feature maps that are kept.

        Raises:
            BadImage: if not even the smallest strip fits.
        """
        kept = tiled_bytes(self._generator, self._info.generator, (height, width, self._channels_in))
        kept += self._image_bytes(height, width)
        # Twice, because a strip includes its neighbouring rows and is copied to and from the feature maps.
        row = 2 * WORKSPACE * self._map_bytes(1, width)
        rows = int((self._memory_limit - kept) / row)
        if rows < SMALLEST_TILE:
            hint = ", even in strips. A smaller `size` needs less memory"
            raise self._too_large(height, width, kept + SMALLEST_TILE * row, hint)
        return min(rows, LARGEST_TILE)

    def _too_large(self, height: int, width: int, needed: float, hint: str) -> BadImage:
        sizes = (needed, self._memory_limit)
        about, limit = (f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB" for size in sizes)
        text = f"{width} x {height} pixels need about {about} of memory; the limit is {limit}{hint}"
        return BadImage(None, text, "over-large")
