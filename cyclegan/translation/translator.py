"""A trained generator as a function of images of any size."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from cyclegan.bundles.bundle import Bundle, load_bundle
from cyclegan.bundles.info import Direction
from cyclegan.data.headers import BadImage
from cyclegan.errors import UsageError
from cyclegan.translation.layout import Layouts, Size
from cyclegan.translation.tiling import translate_tiled


class Translator:
    """Translates images of any size to images of the same size.

        translate = cyclegan.Translator("runs/horse2zebra-1", direction="ab")
        zebra = translate(horse)

    Args:
        model: the path of a run or of a bundle, or a bundle that has been loaded.
        direction: "ab" translates from A to B, "ba" from B to A.
        size: the length of the shorter side, in pixels, at which the network works. Other images are scaled to it with
            their aspect ratio, and their translations are scaled back. "native": each image at its own size. "auto":
            images up to twice the size of the training images at their own size; larger images are scaled down to that.
        tile: translate in strips of this many rows. The result is the same as in one piece. None: strips are used only
            where the image would not fit into `memory_limit`.
        memory_limit: the most bytes that one call may take. None: half of the memory that is free now.
        device: the device to work on, by its TensorFlow name. None: TensorFlow chooses.

    Raises:
        UsageError: if `model` is not a bundle or lacks the direction, or an option is not allowed.
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
        bundle = model if isinstance(model, Bundle) else load_bundle(model)
        self.info = bundle.info
        self.channels_in, self.channels_out = bundle.info.channels(direction)
        self._device = device
        with tf.device(device):
            self._generator = bundle.generator(direction)
        self.layouts = Layouts(self._generator, bundle.info, direction, size=size, tile=tile, memory_limit=memory_limit)

        # One graph serves all sizes. XLA would compile a program for each size.
        @tf.function(  # type: ignore[untyped-decorator] # TensorFlow ships no types
            input_signature=[tf.TensorSpec([None, None, None, self.channels_in], tf.float32)]
        )
        def network(images: tf.Tensor) -> tf.Tensor:
            return self._generator(images, training=False)

        self.network = network

    def __call__(self, images: np.ndarray | Image.Image) -> np.ndarray | Image.Image:
        """Translates one image or a batch.

        Args:
            images: uint8 or uint16 [height, width, channels] or [batch, height, width, channels], in the value range of
                the bundle, or in the range of the type if the bundle has no value range; or a picture of Pillow, whose
                alpha channel is kept.

        Returns:
            An array or a picture, as `images` is, of the same size and type.

        Raises:
            UsageError: if the type or shape is not allowed, or a picture cannot hold the values that the model takes.
            BadImage: if the memory is not sufficient, or the translation is not finite.
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
            channels = f"{self.channels_in} channel{'' if self.channels_in == 1 else 's'}"
            raise UsageError(f"`images` must have {channels}. Received: {images.shape[-1]}.")
        largest = np.iinfo(images.dtype).max
        low, high = self.info.value_range or (0, largest)
        values = (2 * ((images.astype(np.float32) - low) / (high - low)) - 1).clip(-1, 1)
        batch = values if images.ndim == 4 else values[np.newaxis]
        at_once = self.layouts.batch_size(batch.shape[1], batch.shape[2], len(batch))
        parts = [self.translate(batch[start : start + at_once]) for start in range(0, len(batch), at_once)]
        translated = (np.concatenate(parts) + 1) / 2 * (high - low) + low
        levels: np.ndarray = np.rint(translated.clip(0, largest)).astype(images.dtype)
        return levels if images.ndim == 4 else levels[0]

    def translate(self, images: np.ndarray, check: Callable[[], None] = lambda: None) -> np.ndarray:
        """Translates images of one size.

        Images are padded at the bottom and at the right by reflection, several times if one reflection is not enough.
        A single row or column is repeated.

        Args:
            images: float32 [batch, height, width, channels in] in [-1, 1].
            check: called from time to time during long work; an exception that it raises ends the work.

        Returns:
            float32 [batch, height, width, channels out] in [-1, 1].

        Raises:
            BadImage: if the memory is not sufficient, or the translation is not finite.
        """
        height, width = images.shape[1:3]
        layout = self.layouts.choose(height, width)
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
                    raise BadImage(None, "its translation contains values that are not finite")
                return _resize(translated[:, : layout.height, : layout.width], height, width)
        except (tf.errors.ResourceExhaustedError, MemoryError):
            reason = f"{width} x {height} pixels need more memory than is available"
            raise BadImage(None, reason, "over-large") from None

    def _translate_picture(self, picture: Image.Image) -> Image.Image:
        self._check_mode(picture)
        has_alpha = "A" in picture.getbands() or "transparency" in picture.info
        pixels = np.asarray(self._converted(picture, has_alpha))
        pixels = pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels
        translated = np.asarray(self(pixels[:, :, : self.channels_in]))
        if has_alpha and self.channels_out != 4:
            translated = np.concatenate([translated, pixels[:, :, -1:]], axis=-1)
        return Image.fromarray(translated[:, :, 0] if translated.shape[-1] == 1 else translated)

    def _check_mode(self, picture: Image.Image) -> None:
        deep = picture.mode.startswith("I;16")
        if picture.mode in ("I", "F") or (deep and (self.channels_in, self.channels_out) != (1, 1)):
            raise UsageError(
                "A picture must have 8 bits a channel, or be a grey picture of 16 bits if the model translates grey"
                f" to grey. Received: mode {picture.mode}. Pass an array instead."
            )
        if not deep and self.info.value_range and self.info.value_range[1] > 255:
            raise UsageError(
                f"The model takes values up to {self.info.value_range[1]:g}. Received: a picture of mode"
                f" {picture.mode}, which has 8 bits a channel. Pass a picture of mode I;16, or an array."
            )

    def _converted(self, picture: Image.Image, has_alpha: bool) -> Image.Image:
        """The picture with the channels that the model takes, followed by alpha if the picture has it."""
        if picture.mode.startswith("I;16"):
            return picture
        if self.channels_in == 4:
            return picture.convert("RGBA")
        if self.channels_in == 1:
            return picture.convert("RGBA").convert("LA") if has_alpha else picture.convert("L")
        return picture.convert("RGBA" if has_alpha else "RGB")


def _resize(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes with an antialiased bicubic filter, and clips the result to [-1, 1]."""
    if images.shape[1:3] == (height, width):
        return images
    resized: np.ndarray = tf.image.resize(images, (height, width), "bicubic", antialias=True).numpy()
    return resized.clip(-1, 1)
