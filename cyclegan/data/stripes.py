"""The built-in data set: drawn animals, plain in domain A and striped in domain B.

Training is unpaired: no scene is in both domains. The test images come with the truth, because every scene
can be drawn either way: the same animal in the other coat, and where the animal is.
"""

import json
import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
from PIL import Image

from cyclegan.data.listing import SPLITS
from cyclegan.data.scenes import Scene, draw_scene
from cyclegan.errors import CycleganError

VERSION = 1  # of the pictures: raise it when any pixel changes
MARKER = "stripes.json"


def stripes_folder(data_dir: pathlib.Path) -> pathlib.Path:
    """Where this version of the data set is kept."""
    return data_dir / f"stripes-{VERSION}"


def has_stripes(data_dir: pathlib.Path) -> bool:
    """Whether the data set is on disk."""
    return read_marker(stripes_folder(data_dir)) is not None


def ensure_stripes(data_dir: pathlib.Path, report: Callable[[str], None] = lambda line: None) -> pathlib.Path:
    """Writes the data set if it is not there yet.

    Args:
        data_dir: where data sets are kept.
        report: called with one line before the data set is drawn.

    Returns:
        Its folder, which holds trainA, trainB, testA, testB and truth.

    Raises:
        CycleganError: as `write_stripes`.
    """
    folder = stripes_folder(data_dir)
    if not has_stripes(data_dir):
        report(f"Drawing the data set stripes into {folder}.")
    write_stripes(folder)
    return folder


def write_stripes(folder: pathlib.Path, num_train: int = 500, num_test: int = 120) -> None:
    """Writes the data set as PNG files, whole or not at all; what is there already is left as it is.

    Every split has its own scenes: no animal of trainA is in trainB, none of testA in testB. For an image of
    testA, the files of the same name in truth/testA_striped and truth/testA_mask are its pair and where the
    animal is; for testB, truth/testB_plain and truth/testB_mask.

    Args:
        folder: the folder to make.
        num_train: images of each domain.
        num_test: images of each domain.

    Raises:
        CycleganError: if the folder holds something else or cannot be written.
    """
    marker = {"version": VERSION, "num_train": num_train, "num_test": num_test}
    if read_marker(folder) == marker:
        return
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        if temporary.exists():  # of a process that was killed and had this number
            shutil.rmtree(temporary)
        for seed, split in enumerate(SPLITS):
            for index in range(num_train if split.startswith("train") else num_test):
                scene = draw_scene(seed, index)
                for place, picture in pictures_of(scene, split).items():
                    (temporary / place).mkdir(parents=True, exist_ok=True)
                    Image.fromarray(picture).save(temporary / place / f"{index:04d}.png")
        (temporary / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
        temporary.replace(folder)
    except OSError as error:
        if read_marker(folder) != marker:  # otherwise another process was faster
            raise CycleganError(
                f"cannot write the stripes data set to {folder}: {error.strerror or error}; "
                "remove that folder or choose another data directory (CYCLEGAN_DATA_DIR)"
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_marker(folder: pathlib.Path) -> dict | None:
    """What a finished folder says that it holds; None for anything else."""
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def pictures_of(scene: Scene, split: str) -> dict[str, np.ndarray]:
    """Which picture of a scene goes into which folder."""
    plain, striped, mask = scene
    shown, other, coat = (plain, striped, "striped") if split.endswith("A") else (striped, plain, "plain")
    if split.startswith("train"):
        return {split: shown}
    return {split: shown, f"truth/{split}_{coat}": other, f"truth/{split}_mask": mask}
