"""Scores that say how well a generator puts stripes on plain animals without changing the landscape.

The luminance of a pixel is Y = 0.299 R + 0.587 G + 0.114 B, with values in [0, 1].

The stripe contrast of an image is the standard deviation of Y over the pixels that the animal covers fully (mask 255).
The ratio is the median contrast of the translated test images, divided by the median contrast of the real test images
of domain B. A ratio of 1 means that the animals are as striped as real ones. The change outside is the mean absolute
difference between translation and input, over all channels of the pixels that the animal does not touch (mask 0), as a
fraction of the value range. The colour error compares the mean colour of the pixels that the animal covers fully with
the same mean of the true translation: it is the mean absolute difference over the three channels.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

MIN_RATIO = 0.5
MAX_CHANGE_OUTSIDE = 0.1
BATCH = 8

Translate = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Score:
    """One row of the table.

    Attributes:
        name: what was scored.
        contrast: median stripe contrast.
        ratio: `contrast`, divided by the median stripe contrast of the real test images of domain B.
        change_outside: mean change outside; None for real images, which are not translations.
        colour_error: mean colour error; None for real images.
    """

    name: str
    contrast: float
    ratio: float
    change_outside: float | None
    colour_error: float | None

    @property
    def passes(self) -> bool:
        """Whether the stripes are strong enough and the background has changed little enough."""
        return self.ratio >= MIN_RATIO and (self.change_outside or 0) <= MAX_CHANGE_OUTSIDE


def score_stripes(translate: Translate, folder: pathlib.Path) -> list[Score]:
    """Scores a translation from domain A to domain B on the test images of the stripes data set.

    Args:
        translate: called with up to 8 images, float32 [n, h, w, 3] in [-1, 1]; returns their translations in this form.
        folder: the folder of the data set, which `cyclegan.data.stripes.ensure_stripes` returns.

    Returns:
        Three scores: the real images of domain B, which are the goal; a copy of the input, which must fail; the model.
    """
    inputs, masks = read_folder(folder / "testA"), read_folder(folder / "truth/testA_mask")
    truth = read_folder(folder / "truth/testA_striped")
    real, real_masks = read_folder(folder / "testB"), read_folder(folder / "truth/testB_mask")
    real_contrast = median_contrast(real / 255, real_masks)

    def score(name: str, outputs: np.ndarray) -> Score:
        contrast = median_contrast(outputs, masks)
        change = mean_change_outside(outputs, inputs / 255, masks)
        return Score(name, contrast, contrast / real_contrast, change, mean_colour_error(outputs, truth / 255, masks))

    return [
        Score("real domain B", real_contrast, 1.0, None, None),
        score("copy the input", inputs / 255),
        score("model", apply(translate, inputs)),
    ]


def median_contrast(images: np.ndarray, masks: np.ndarray) -> float:
    """The median of the stripe contrasts of images.

    Args:
        images: float [n, h, w, 3] in [0, 1].
        masks: uint8 [n, h, w], the part of each pixel that the animal covers.
    """
    luminance = images @ np.array([0.299, 0.587, 0.114])
    return float(np.median([y[mask == 255].std() for y, mask in zip(luminance, masks, strict=True)]))


def mean_change_outside(outputs: np.ndarray, inputs: np.ndarray, masks: np.ndarray) -> float:
    """The mean change outside, over all images.

    Args:
        outputs: translations, float [n, h, w, 3] in [0, 1].
        inputs: the images that were translated, in the same form.
        masks: uint8 [n, h, w], the part of each pixel that the animal covers.
    """
    changes = np.abs(outputs - inputs)
    return float(np.mean([change[mask == 0].mean() for change, mask in zip(changes, masks, strict=True)]))


def mean_colour_error(outputs: np.ndarray, truth: np.ndarray, masks: np.ndarray) -> float:
    """The mean colour error, over all images.

    Args:
        outputs: translations, float [n, h, w, 3] in [0, 1].
        truth: the true translations, in the same form.
        masks: uint8 [n, h, w], the part of each pixel that the animal covers.
    """
    errors = [
        np.abs(output[mask == 255].mean(axis=0) - true[mask == 255].mean(axis=0))
        for output, true, mask in zip(outputs, truth, masks, strict=True)
    ]
    return float(np.mean(errors))


def format_table(scores: Sequence[Score]) -> str:
    """The scores as a Markdown table."""
    lines = [
        "| Images | Stripe contrast | Ratio to real | Change outside | Colour error | Passes |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for score in scores:
        change, colour = (
            "-" if value is None else f"{value:.3f}" for value in (score.change_outside, score.colour_error)
        )
        verdict = "yes" if score.passes else "no"
        lines.append(f"| {score.name} | {score.contrast:.3f} | {score.ratio:.2f} | {change} | {colour} | {verdict} |")
    return "\n".join(lines)


def comparison_picture(translate: Translate, folder: pathlib.Path, num: int = 8) -> np.ndarray:
    """A picture of the first test images of domain A at twice their size, one scene in each column.

    Args:
        translate: the same function as for `score_stripes`.
        folder: the folder of the data set.
        num: number of scenes.

    Returns:
        uint8 [height, width, 3]; the rows show input, translation and truth.
    """
    inputs = read_folder(folder / "testA", num)
    translated = np.rint(apply(translate, inputs) * 255).astype(np.uint8)
    truth = read_folder(folder / "truth/testA_striped", num)
    grid = np.stack([inputs, translated, truth]).repeat(2, axis=2).repeat(2, axis=3)
    gap = 4
    grid = np.pad(grid, [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)], constant_values=255)
    rows, columns, height, width, channels = grid.shape
    picture = grid.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
    return picture[:-gap, :-gap]


def apply(translate: Translate, images: np.ndarray) -> np.ndarray:
    """Translates images, uint8 [n, h, w, 3]; returns values in [0, 1]."""
    inputs = images.astype(np.float32) / 127.5 - 1
    batches = [np.asarray(translate(inputs[i : i + BATCH])) for i in range(0, len(inputs), BATCH)]
    return np.clip((np.concatenate(batches) + 1) / 2, 0, 1)


def read_folder(folder: pathlib.Path, num: int | None = None) -> np.ndarray:
    """The first pictures of a folder in the order of their names: uint8 [n, h, w] or [n, h, w, 3]."""
    pictures = []
    for path in sorted(folder.glob("*.png"))[:num]:
        with Image.open(path) as image:
            pictures.append(np.asarray(image))
    return np.stack(pictures)
