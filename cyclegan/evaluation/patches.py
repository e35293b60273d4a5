"""Small patches from each level of a Laplacian pyramid, for the sliced Wasserstein distance.

Source: Karras et al. 2018, "Progressive growing of GANs", section 5.
"""

import numpy as np

PATCH_SIZE = 7
PATCHES_PER_IMAGE = 128
SMALLEST_LEVEL = 16
"""The pyramid ends with the level whose shorter side has at least so many pixels."""

_KERNEL = np.array([1, 4, 6, 4, 1], np.float32) / 16  # Burt and Adelson 1983, with a = 0.375


def pyramid(images: np.ndarray) -> list[np.ndarray]:
    """The Laplacian pyramid of images: what each halving loses, and the smallest images.

    Args:
        images: float [n, height, width, channels]. Sides that cannot be halved exactly lose their last row or column.

    Returns:
        The levels, from the finest to the coarsest, each with half the height and width of the one before.
    """
    levels = []
    while min(images.shape[1:3]) >= 2 * SMALLEST_LEVEL:
        images = images[:, : images.shape[1] // 2 * 2, : images.shape[2] // 2 * 2]
        smaller = _blurred(images)[:, ::2, ::2]
        levels.append(images - _enlarged(smaller))
        images = smaller
    return [*levels, images]


def draw_patches(level: np.ndarray, seed: int) -> np.ndarray:
    """128 patches of each image of a level, at places that depend on the seed and on the size of the level alone.

    Args:
        level: [n, height, width, channels], at least 7 pixels high and wide.
        seed: draws the places.

    Returns:
        [n, 128, 7 * 7 * channels].
    """
    draw = np.random.default_rng([seed, *level.shape[1:3]])
    rows, columns = (draw.integers(side - PATCH_SIZE + 1, size=PATCHES_PER_IMAGE) for side in level.shape[1:3])
    offsets = np.arange(PATCH_SIZE)
    rows, columns = rows[:, None, None] + offsets[:, None], columns[:, None, None] + offsets
    patches = level[:, rows, columns]  # [n, 128, 7, 7, channels]
    return patches.reshape(*patches.shape[:2], -1)


def normalised(patches: np.ndarray, channels: int) -> np.ndarray:
    """Patches of a set whose channels have mean 0 and standard deviation 1 over the whole set.

    Args:
        patches: [..., 7 * 7 * channels].
        channels: the number of channels.
    """
    values = patches.reshape(-1, channels).astype(np.float64)
    spread = values.std(axis=0)
    scaled: np.ndarray = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return scaled.reshape(patches.shape)


def _blurred(images: np.ndarray) -> np.ndarray:
    for axis in (1, 2):
        padding = [(2, 2) if each == axis else (0, 0) for each in range(4)]
        padded = np.pad(images, padding, mode="reflect")
        length = images.shape[axis]
        images = sum(
            weight * np.take(padded, range(offset, offset + length), axis) for offset, weight in enumerate(_KERNEL)
        )
    return images


def _enlarged(images: np.ndarray) -> np.ndarray:
    n, height, width, channels = images.shape
    spread = np.zeros((n, 2 * height, 2 * width, channels), images.dtype)
    spread[:, ::2, ::2] = images
    return 4 * _blurred(spread)
