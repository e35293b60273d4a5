"""The resize of training images: to which size, and how."""

import numpy as np
from PIL import Image

from cyclegan.config.sections import DataConfig


def resized_size(height: int, width: int, size: int, config: DataConfig) -> tuple[int, int]:
    """The height and the width of an image after the resize.

    Args:
        height: height of the image in pixels.
        width: width of the image in pixels.
        size: `data.load_size` for a training image, `data.crop_size` for a sample image.
        config: says how to resize.
    """
    if config.resize == "stretch":
        return size, size
    if config.resize == "keep-aspect":
        scale = size / min(height, width)
    else:  # only images that are too small for the crop are enlarged
        scale = max(1.0, config.crop_size / min(height, width))
    return round(height * scale), round(width * scale)


def resize(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Antialiased bicubic resize in the depth of the values, each channel by itself.

    Values of 8 bits become exactly what Pillow makes of them, as in the PyTorch implementation of the recipe. An image
    that has the size already is returned as it is.

    Args:
        values: [old height, old width, channels]: bool, uint8, uint16, int32 or float32.
        height: the new height in pixels.
        width: the new width in pixels.

    Returns:
        [height, width, channels] of the same type, but bool becomes uint8 with the values 0 to 255.
    """
    if values.shape[:2] == (height, width):
        return values
    if values.dtype == bool:
        values = values * np.uint8(255)
    # Pillow cannot resize 16 bits smoothly, but it can resize 32 bits, which also hold what bicubic overshoots.
    wide = values.astype(np.int32) if values.dtype == np.uint16 else values
    pictures = (Image.fromarray(np.ascontiguousarray(wide[:, :, channel])) for channel in range(wide.shape[-1]))
    channels = [np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC)) for picture in pictures]
    resized: np.ndarray = np.stack(channels, axis=-1)
    return resized.clip(0, 65535).astype(np.uint16) if values.dtype == np.uint16 else resized
