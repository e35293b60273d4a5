"""Images for exports: which sizes an export is run with, and images of these sizes."""

import pathlib

import numpy as np
import tensorflow as tf

from cyclegan.bundles.info import BundleInfo, Direction
from cyclegan.data.decoding import decode, read_image
from cyclegan.data.encoding import encode
from cyclegan.data.listing import SUFFIXES, list_images
from cyclegan.data.scenes import draw_scene
from cyclegan.errors import UsageError


def round_up(size: int, info: BundleInfo) -> int:
    """The smallest height or width from `size` on that the generator takes."""
    return -(-max(size, info.min_size) // info.size_multiple) * info.size_multiple


def sizes_to_try(size: tuple[int, int] | None, info: BundleInfo) -> list[tuple[int, int]]:
    """The heights and widths that an export is run with.

    Args:
        size: the height and width of the export. None: any, so two sizes are tried, and the wider one is the last.
        info: what the bundle says of the generator.
    """
    side = round_up(info.crop_size, info)
    return [size] if size else [(side, side), (side, round_up(side * 3 // 2, info))]


def load_images(
    folder: pathlib.Path | None,
    count: int,
    info: BundleInfo,
    direction: Direction,
    size: tuple[int, int] | None = None,
) -> tuple[list[np.ndarray], str]:
    """Loads the first images of a folder, or draws scenes of the domain that the generator translates.

    Args:
        folder: a folder with images at any depth. None: scenes of the built-in data set are drawn in memory.
        count: the largest number of images.
        info: what the bundle says of the generators.
        direction: the direction of the generator.
        size: the height and width that each image of a folder is fitted to before the next one is read. None: the
            images keep their sizes.

    Returns:
        Images float32 [height, width, channels] in [-1, 1], and where they come from.

    Raises:
        UsageError: if the folder does not hold any images.
        BadImage: if an image cannot be used.
    """
    channels, _ = info.channels(direction)
    if folder is None:
        scenes = [draw_scene(0, index) for index in range(count)]
        drawn = [scene.plain if direction == "ab" else scene.striped for scene in scenes]
        return [decode(encode(image / np.float32(127.5) - 1), channels) for image in drawn], "built-in scenes"
    paths = list_images(folder)[:count]
    if not paths:
        raise UsageError(f"{folder} does not hold any images. Looked for {' '.join(sorted(SUFFIXES))}.")
    images = (read_image(path, channels, info.value_range, info.max_pixels) for path in paths)
    return [fit(image, *size) if size else image for image in images], f"folder {folder.resolve().name}"


def fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes an image [h, w, c] until it covers height x width, and cuts out its centre."""
    scale = max(height / image.shape[0], width / image.shape[1])
    size = max(height, round(image.shape[0] * scale)), max(width, round(image.shape[1] * scale))
    if image.shape[:2] != size:
        # Bicubic interpolation overshoots at edges.
        image = tf.image.resize(image, size, method="bicubic", antialias=True).numpy().clip(-1, 1)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return image[top : top + height, left : left + width].copy()  # a view would keep the whole image in memory
