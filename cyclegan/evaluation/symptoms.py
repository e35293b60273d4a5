"""Numbers by which an ill generator is known, from a few images and what two generators make of them."""

from typing import NamedTuple

import numpy as np

PERIOD = 4
"""The period of the patterns of two upsamplings, in pixels."""

SMALLEST_GRID = 32

SATURATED = 0.98
"""A value of at least this size is at the end of the range."""


class Probe(NamedTuple):
    """What a direction makes of some fixed images, each float32 [n, height, width, channels] in [-1, 1].

    Attributes:
        inputs: real images, at least two that differ.
        targets: as many real images of the target domain.
        outputs: the translations of `inputs`.
        cycled: the translations back.
        disturbed: the translations back of `outputs` with a little noise.
        noise: the standard deviation of that noise.
    """

    inputs: np.ndarray
    targets: np.ndarray
    outputs: np.ndarray
    cycled: np.ndarray
    disturbed: np.ndarray
    noise: float


def measure(probe: Probe) -> dict[str, float]:
    """The symptoms of one direction, by their names.

    spoiled: the part of the translations, and of the ways back, that is not finite. It is then the only symptom.
    correlation: of the luminance of input and output; below 0 where bright and dark are exchanged.
    change: the mean absolute difference of these luminances.
    contrast: the median over the outputs of the standard deviation of their luminance.
    saturation: the part of the values at an end of the range, beyond that of real images.
    variety: how different the outputs are from each other, beside real images of the target domain.
    sensitivity: how many times larger a little noise on the outputs becomes on the way back.
    grid: the strength of a regular pattern, see `grid`; not of images below 32 pixels a side, which have too few cells.
    """
    spoiled = float(np.mean([np.mean(~np.isfinite(images)) for images in probe[2:5]]))
    if spoiled:
        return {"spoiled": spoiled}
    inputs, targets, outputs = luminance(probe.inputs), luminance(probe.targets), luminance(probe.outputs)
    found = {
        "spoiled": spoiled,
        "correlation": correlation(inputs, outputs),
        "change": float(np.abs(outputs - inputs).mean()),
        "contrast": float(np.median(outputs.std(axis=(1, 2)))),
        "saturation": _saturated(probe.outputs) - _saturated(probe.targets),
        "variety": float(outputs.var(axis=0).mean() / max(targets.var(axis=0).mean(), 1e-6)),
        "sensitivity": float(np.sqrt(np.mean((probe.disturbed - probe.cycled) ** 2))) / probe.noise,
    }
    return found | {"grid": grid(outputs)} if min(outputs.shape[1:]) >= SMALLEST_GRID else found


def _saturated(images: np.ndarray) -> float:
    return float(np.mean(np.abs(images) >= SATURATED))


def luminance(images: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 luma [n, height, width] of images with 1, 3 or 4 channels."""
    if images.shape[-1] == 1:
        return images[..., 0]
    luma: np.ndarray = images[..., :3] @ np.array([0.299, 0.587, 0.114], images.dtype)
    return luma


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """The median over the images of Pearson's correlation of their pixels; 0 for an image of one colour.

    Args:
        one: [n, height, width].
        other: the same.
    """
    found = []
    for first, second in zip(one, other, strict=True):
        spread = first.std() * second.std()
        found.append(np.mean((first - first.mean()) * (second - second.mean())) / spread if spread > 1e-6 else 0.0)
    return float(np.median(found))


def grid(images: np.ndarray) -> float:
    """The strength of a pattern that repeats every 2 or 4 pixels, at the same places in all images.

    It is the standard deviation of the mean cell of 4 x 4 pixels, over all cells of all images, after the difference of
    each pixel to the mean of its 5 x 5 neighbours. Transposed convolutions with stride 2 make such patterns. The
    textures of real images have no fixed places, and their mean is near 0.

    Source: Odena et al. 2016, "Deconvolution and checkerboard artifacts", for the pattern.

    Args:
        images: [n, height, width], at least 8 pixels a side.
    """
    means = images
    for axis in (1, 2):
        means = np.mean([np.roll(means, offset, axis) for offset in range(-2, 3)], axis=0)
    residual = (images - means)[:, 4:-4, 4:-4]
    height, width = (side // PERIOD * PERIOD for side in residual.shape[1:])
    cells = residual[:, :height, :width].reshape(-1, height // PERIOD, PERIOD, width // PERIOD, PERIOD)
    return float(cells.mean(axis=(0, 1, 3)).std())
