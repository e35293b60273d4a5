"""A trained generator as a function of images of any size."""

from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from cyclegan.bundle import Bundle, Direction, load_bundle
from cyclegan.data.headers import BadImage
from cyclegan.errors import UsageError
from cyclegan.runtime.memory import free_bytes, peak_live_bytes
from cyclegan.translation.tiling import tiled_bytes, translate_tiled

Size = int | Literal["auto", "native"]

SMALLEST_TILE = 32
"""Rows of the strips of an image that hardly fits. Fewer would spend most of the time on their neighbours."""

LARGEST_TILE = 1024

LARGE_IMAGE = 1_000_000
"""Pixels above which images are translated one by one."""

WORKSPACE = 2
"""Memory that the network takes in one piece, over that of the maps that live at once: convolutions need room of their
own. Measured for 9 blocks and 64 filters on a CPU: 1.0 KB a pixel, of which maps are 0.52."""


class Layout(NamedTuple):
    """How an image of one size is translated.

    Attributes:
        height: at which the network works, before padding.
        width: likewise.
        padded_height: what the network gets, a multiple of what its architecture needs.
        padded_width: likewise.
        tile: rows of a strip; None: in one piece.
    """

    height: int
    width: int
    padded_height: int
    padded_width: int
    tile: int | None


class Translator:
    """Translates images of any size to images of the same size.

        translate = cyclegan.Translator("runs/horse2zebra-1", direction="ab")
        zebra = translate(horse)

    Args:
        model: a run, a bundle, or one that has been loaded.
        direction: "ab" for A to B, "ba" for B to A.
        size: the shorter side, in pixels, at which the network works; larger and smaller images are scaled to it and
            their translations back, with their aspect ratio. "native": every image at its own size. "auto": at its own
            size up to twice the size of the training images, larger ones scaled down to that.
        tile: translate in strips of so many rows, exactly. None: where the image would not fit into `memory_limit`.
        memory_limit: bytes that one call may take. None: half of the memory that is free now.
        device: TensorFlow's name of one. None: its choice.

    Raises:
        UsageError: if `model` is no bundle or lacks the direction, or an option is not allowed.
        CycleganError: if the weights are missing or damaged.
    """

    def __init__(
        self,
        model: str | Path | Bundle,
        direction: Direction = "ab",
        *,
        size: Size = "auto",
        tile: int | None = None,
        memory_limit: float | None = None,
        device: str | None = None,
    ):
        if size not in ("auto", "native") and not (isinstance(size, int) and size > 0):
            raise UsageError(f"`size` must be auto, native or a number of pixels. Received: {size}.")
        if tile is not None and tile < 1:
            raise UsageError(f"`tile` must be a positive number of rows. Received: {tile}.")
        bundle = model if isinstance(model, Bundle) else load_bundle(model)
        self.info = bundle.info
        self.channels_in, self.channels_out = bundle.info.channels(direction)
        self._size, self._tile, self._device = size, tile, device
        self._memory_limit = memory_limit or free_bytes() / 2
        with tf.device(device):
            self._generator = bundle.generator(direction)

        # One graph for all sizes. XLA would compile one for each.
        @tf.function(input_signature=[tf.TensorSpec([None, None, None, self.channels_in], tf.float32)])
        def network(images: tf.Tensor) -> tf.Tensor:
            return self._generator(images, training=False)

        self.network = network
        # Each of its two callers asks for each image, and it builds a network of that size.
        self._tile_that_fits = lru_cache(maxsize=64)(self._find_tile)

    def __call__(self, images: np.ndarray | Image.Image) -> np.ndarray | Image.Image:
        """Translates one image or a batch.

        Args:
            images: uint8 or uint16 [height, width, channels] or [batch, height, width, channels], in the value range of
                the bundle, which is that of the type where the bundle has none; or a picture of Pillow, whose alpha is
                kept.

        Returns:
            The same kind, of the same size and type.

        Raises:
            UsageError: if type or shape is another, or a picture cannot hold the values that the model takes.
            BadImage: if the memory does not suffice, or the translation is not finite.
        """
        if isinstance(images, Image.Image):
            return self._translate_picture(images)
        images = np.asarray(images)
        if images.dtype not in (np.uint8, np.uint16) or images.ndim not in (3, 4) or 0 in images.shape:
            raise UsageError(
                "`images` must be uint8 or uint16 [height, width, channels] or [batch, height, width, channels]."
                f" Received: {images.dtype} {list(images.shape)}."
            )
        if images.shape[-1] != self.channels_in:
            raise UsageError(f"`images` must have {self.channels_in} channels. Received: {images.shape[-1]}.")
        largest = np.iinfo(images.dtype).max
        low, high = self.info.value_range or (0, largest)
        values = (2 * ((images.astype(np.float32) - low) / (high - low)) - 1).clip(-1, 1)
        batch = values if images.ndim == 4 else values[np.newaxis]
        at_once = self.batch_size(batch.shape[1], batch.shape[2], len(batch))
        parts = [self.translate(batch[start : start + at_once]) for start in range(0, len(batch), at_once)]
        translated = (np.concatenate(parts) + 1) / 2 * (high - low) + low
        levels = np.rint(translated.clip(0, largest)).astype(images.dtype)
        return levels if images.ndim == 4 else levels[0]

    def layout(self, height: int, width: int) -> Layout:
        """How an image of this size is translated.

        Raises:
            BadImage: if it does not fit into the memory, not even in strips.
        """
        if (needed := self._image_bytes(height, width)) > self._memory_limit:
            raise self._too_large(height, width, needed, ". Raise it, or choose smaller images")
        shorter = min(height, width)
        target = self._size if isinstance(self._size, int) else shorter
        if self._size == "auto":
            target = min(shorter, 2 * self.info.crop_size)
        scaled = [max(1, round(side * target / shorter)) for side in (height, width)]
        multiple, smallest = self.info.size_multiple, self.info.min_size
        padded = [-(-max(side, smallest) // multiple) * multiple for side in scaled]
        tile = self._tile
        if tile is None and self.bytes_for(*padded) > self._memory_limit:
            tile = self._tile_that_fits(*padded)
        return Layout(scaled[0], scaled[1], padded[0], padded[1], tile)

    def batch_size(self, height: int, width: int, largest: int) -> int:
        """How many images of a size may be translated at once, at least 1 and at most `largest`.

        Raises:
            BadImage: if not one fits into the memory.
        """
        layout = self.layout(height, width)
        # Many at once make the network faster where images are small, and only there.
        if layout.tile or height * width > LARGE_IMAGE:
            return 1
        needed = self.bytes_for(layout.padded_height, layout.padded_width)
        if (layout.height, layout.width) != (height, width):
            needed += self._image_bytes(height, width)
        return max(1, min(largest, int(self._memory_limit / needed)))

    def bytes_for(self, height: int, width: int) -> float:
        """Peak memory for one padded image in one piece, in bytes, beside weights and program."""
        return WORKSPACE * self._map_bytes(height, width) + self._image_bytes(height, width)

    def translate(self, images: np.ndarray, check: Callable[[], None] = lambda: None) -> np.ndarray:
        """Translates images of one size.

        Padded at the lower right by reflection, as often as it takes, or by repetition where there is but one row.

        Args:
            images: float32 [batch, height, width, channels in] in [-1, 1].
            check: called now and then where it takes long; what it raises ends the work.

        Returns:
            float32 [batch, height, width, channels out] in [-1, 1].

        Raises:
            BadImage: if the memory does not suffice, or the translation is not finite.
        """
        height, width = images.shape[1:3]
        layout = self.layout(height, width)
        try:
            with tf.device(self._device):
                scaled = _resize(images, layout.height, layout.width)
                padding = [(0, layout.padded_height - layout.height), (0, layout.padded_width - layout.width)]
                padded = np.pad(scaled, [(0, 0), *padding, (0, 0)], mode="reflect")
                if layout.tile:
                    config, tile = self.info.generator, layout.tile
                    tiled = [translate_tiled(self._generator, config, image, tile, check=check) for image in padded]
                    translated = np.stack(tiled)
                else:
                    translated = self.network(padded).numpy()
                if not np.isfinite(translated).all():
                    raise BadImage(None, "its translation holds values that are not finite")
                return _resize(translated[:, : layout.height, : layout.width], height, width)
        except (tf.errors.ResourceExhaustedError, MemoryError):
            raise BadImage(None, f"{width} x {height} pixels need more memory than there is", "over-large") from None

    def _translate_picture(self, picture: Image.Image) -> Image.Image:
        has_alpha = "A" in picture.getbands() or "transparency" in picture.info
        grey = self.channels_in == 1
        deep = picture.mode.startswith("I;16")
        if picture.mode in ("I", "F") or (deep and (self.channels_in, self.channels_out) != (1, 1)):
            raise UsageError(
                "A picture must have 8 bits a channel, or 16 bits of grey where the model translates grey to grey."
                f" Received: mode {picture.mode}. Pass an array instead."
            )
        if not deep and self.info.value_range and self.info.value_range[1] > 255:
            raise UsageError(
                f"The model takes values up to {self.info.value_range[1]:g}. Received: a picture of mode"
                f" {picture.mode}, which holds 8 bits. Pass one of mode I;16, or an array."
            )
        if deep:
            converted = picture
        elif self.channels_in == 4:
            converted = picture.convert("RGBA")
        elif has_alpha:
            converted = picture.convert("RGBA").convert("LA") if grey else picture.convert("RGBA")
        else:
            converted = picture.convert("L" if grey else "RGB")
        pixels = np.asarray(converted)
        pixels = pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels
        translated = np.asarray(self(pixels[:, :, : self.channels_in]))
        if has_alpha and self.channels_out != 4:
            translated = np.concatenate([translated, pixels[:, :, -1:]], axis=-1)
        return Image.fromarray(translated[:, :, 0] if translated.shape[-1] == 1 else translated)

    def _map_bytes(self, height: int, width: int) -> float:
        """Of the feature maps that live at once."""
        return self._bytes_per_pixel * height * width

    def _image_bytes(self, height: int, width: int) -> int:
        """Of an image and its translation, which are copied when they are padded, cropped and encoded."""
        return 4 * 4 * (self.channels_in + self.channels_out) * height * width

    @cached_property
    def _bytes_per_pixel(self) -> float:
        side = max(self.info.min_size, -(-256 // self.info.size_multiple) * self.info.size_multiple)
        spec = tf.TensorSpec([1, side, side, self.channels_in], tf.float32)
        graph = tf.function(lambda image: self._generator(image, training=False)).get_concrete_function(spec).graph
        return peak_live_bytes(graph) / side**2

    def _find_tile(self, height: int, width: int) -> int:
        """The rows of a strip that fits into what the kept maps leave of the memory.

        Raises:
            BadImage: if none does.
        """
        kept = tiled_bytes(self._generator, self.info.generator, (height, width, self.channels_in))
        kept += self._image_bytes(height, width)
        # Twice, because a strip comes with its neighbours, and is copied to and from the maps.
        row = 2 * WORKSPACE * self._map_bytes(1, width)
        rows = int((self._memory_limit - kept) / row)
        if rows < SMALLEST_TILE:
            hint = ", even in strips. A smaller `size` needs less"
            raise self._too_large(height, width, kept + SMALLEST_TILE * row, hint)
        return min(rows, LARGEST_TILE)

    def _too_large(self, height: int, width: int, needed: float, hint: str) -> BadImage:
        sizes = (needed, self._memory_limit)
        about, limit = (f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB" for size in sizes)
        text = f"{width} x {height} pixels need about {about} of memory; the limit is {limit}{hint}"
        return BadImage(None, text, "over-large")


def _resize(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Antialiased bicubic, kept inside [-1, 1]."""
    if images.shape[1:3] == (height, width):
        return images
    return tf.image.resize(images, (height, width), "bicubic", antialias=True).numpy().clip(-1, 1)
