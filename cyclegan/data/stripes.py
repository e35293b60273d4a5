"""The built-in data set: drawn animals, plain in domain A and striped in domain B.

Training is unpaired: no scene is in both domains. Every scene can be drawn with and without stripes. So each test image
comes with the same scene in the other domain, and with a mask that shows where the animal is.
"""

import json
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
from PIL import Image

from cyclegan.data.listing import SPLITS
from cyclegan.data.scenes import Scene, draw_scene
from cyclegan.errors import CycleganError
from cyclegan.runtime.atomic_files import remove_litter_of, temporary_beside

VERSION = 1  # version of the pictures: raise it when any pixel changes
MARKER = "stripes.json"
PLACES = (*SPLITS, "truth/testA_striped", "truth/testA_mask", "truth/testB_plain", "truth/testB_mask")


def stripes_folder(data_dir: pathlib.Path) -> pathlib.Path:
    """The folder of this version of the data set."""
    return data_dir / f"stripes-{VERSION}"


def has_stripes(data_dir: pathlib.Path) -> bool:
    """Whether the data set is on disk."""
    return read_marker(stripes_folder(data_dir)) is not None


def ensure_stripes(data_dir: pathlib.Path, report: Callable[[str], None] = lambda line: None) -> pathlib.Path:
    """Writes the data set if it is not on disk yet.

    Args:
        data_dir: the folder where data sets are kept.
        report: called with one line before the data set is drawn.

    Returns:
        The folder of the data set, which holds trainA, trainB, testA, testB and truth.

    Raises:
        CycleganError: if the folder holds something else or cannot be written.
    """
    folder = stripes_folder(data_dir)
    if not has_stripes(data_dir):
        report(f"Drawing the data set stripes into {folder}.")
    write_stripes(folder)
    return folder


def write_stripes(folder: pathlib.Path, num_train: int = 500, num_test: int = 120) -> None:
    """Writes the data set as PNG files, either all of them or none. A finished data set is left as it is.

    Every split has its own scenes, so no animal is in two splits. For each image of testA, truth/testA_striped and
    truth/testA_mask hold a file of the same name: the same scene with stripes, and the mask of the animal. For testB,
    these folders are truth/testB_plain and truth/testB_mask.

    Args:
        folder: the folder to make.
        num_train: number of training images of each domain.
        num_test: number of test images of each domain.

    Raises:
        CycleganError: if the folder holds something else or cannot be written.
    """
    marker = {"version": VERSION, "num_train": num_train, "num_test": num_test}
    if read_marker(folder) == marker:
        return
    temporary = temporary_beside(folder)
    try:
        remove_litter_of(folder)
        # All folders are made first. If one were removed meanwhile, the next image would fail, and no part go missing.
        for place in PLACES:
            (temporary / place).mkdir(parents=True)
        for seed, split in enumerate(SPLITS):
            for index in range(num_train if split.startswith("train") else num_test):
                scene = draw_scene(seed, index)
                for place, picture in pictures_of(scene, split).items():
                    Image.fromarray(picture).save(temporary / place / f"{index:04d}.png")
        (temporary / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
        temporary.replace(folder)
    except OSError as error:
        if read_marker(folder) != marker:  # if it is, another process has written the same data set
            raise CycleganError(
                f"The data set stripes cannot be written to {folder}: {error.strerror or error}. Remove that folder, or"
                " choose another data directory with CYCLEGAN_DATA_DIR."
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_marker(folder: pathlib.Path) -> dict[str, int] | None:
    """Version and numbers of images of a finished data set; None if the folder is not one."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_whole = isinstance(marker, dict) and marker.keys() == {"version", "num_train", "num_test"}
    return marker if is_whole and all(type(value) is int for value in marker.values()) else None


def pictures_of(scene: Scene, split: str) -> dict[str, np.ndarray]:
    """The pictures of a scene by the folder that each belongs to."""
    plain, striped, mask = scene
    shown, other, coat = (plain, striped, "striped") if split.endswith("A") else (striped, plain, "plain")
    if split.startswith("train"):
        return {split: shown}
    return {split: shown, f"truth/{split}_{coat}": other, f"truth/{split}_mask": mask}
