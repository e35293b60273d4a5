"""Which image goes to which file, with no two to the same."""

import glob
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, cast

from cyclegan.data.encoding import SUFFIX_OF, FileFormat
from cyclegan.data.listing import SUFFIXES, list_images
from cyclegan.errors import UsageError

FORMAT_OF: dict[str, FileFormat] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
"""What a file is by its suffix. `same` turns all other images into PNG."""


class Job(NamedTuple):
    """One image and the files that it becomes.

    Attributes:
        source: the image.
        name: the same without the folder that all images are in, in POSIX form.
        output: its translation.
        cycled: the way back, if it is wanted.
        picture: a copy of the input that browsers can show, if it is wanted.
    """

    source: Path
    name: str
    output: Path
    cycled: Path | None
    picture: Path | None

    @property
    def files(self) -> list[Path]:
        """All that it becomes."""
        return [path for path in (self.output, self.cycled, self.picture) if path]


class Plan(NamedTuple):
    """All images, and the folder that gets the report; None where the output is one file."""

    jobs: list[Job]
    folder: Path | None


def plan_jobs(
    inputs: Sequence[Path],
    output: Path,
    *,
    file_format: FileFormat | Literal["same"] | None = None,
    cycle: bool = False,
    gallery: bool = False,
) -> Plan:
    """Finds the images and names their translations.

    `output` gets the tree of the input: `input/x/horse.jpg` becomes `output/x/horse.png`. Where two images would get
    the same name, with or without regard to case, they keep their suffixes: `horse.jpg.png` and `horse.bmp.png`.

    Args:
        inputs: images, folders and patterns such as `photos/**/*.jpg`; hidden files, and of folders and patterns all
            that is no image by its suffix, are passed over.
        output: a folder, created later; for one image also a path with the suffix of a format.
        file_format: None: as the suffix of `output` says, else PNG. "same": that of the image if it is one that is
            written, else PNG.
        cycle: whether the way back is wanted: `horse.cycled.png`.
        gallery: whether pictures of the input are wanted, below `output/gallery/`.

    Raises:
        UsageError: if there are no images, or an output would lie in a folder of the input or outside of `output`.
    """
    images = [image for path in inputs for image in _find(path)]
    images = list(dict.fromkeys(images))
    if len(inputs) == 1 and inputs[0].is_file() and output.suffix.lower() in SUFFIXES and not output.is_dir():
        return _plan_one(images[0], output, file_format, cycle, gallery)
    if output.exists() and not output.is_dir():
        raise UsageError(f"The output must be a folder. Received: {output}.")

    one_folder = len(inputs) == 1 and inputs[0].is_dir()
    base = str(inputs[0]) if one_folder else os.path.commonpath([os.path.abspath(image.parent) for image in images])
    names = [str(image) if one_folder else os.path.abspath(image) for image in images]
    names = [name.removeprefix(base).lstrip(os.sep) if base != "." else name for name in names]
    # Strings, because there may be millions.
    claims = Counter(
        path.casefold()
        for name in names
        for keep_suffix in (False, True)
        for path in _family(name, file_format or "png", keep_suffix, cycle)
    )
    jobs = []
    for image, name in zip(images, names, strict=True):
        family = _family(name, file_format or "png", False, cycle)
        if any(claims[path.casefold()] > 1 for path in family):
            family = _family(name, file_format or "png", True, cycle)
        picture = output / "gallery" / f"{name}.webp" if gallery else None
        target, *cycled = (output / path for path in family)
        jobs.append(Job(image, name.replace(os.sep, "/"), target, cycled[0] if cycled else None, picture))
    _check_places(jobs, [path for path in inputs if path.is_dir()], output)
    return Plan(jobs, output)


def _find(path: Path) -> list[Path]:
    if path.is_dir():
        if images := list_images(path):
            return images
        raise UsageError(f"{path} holds no images. Looked for {' '.join(sorted(SUFFIXES))}.")
    if path.exists():
        return [path]
    if glob.has_magic(str(path)):
        found = (Path(name) for name in sorted(glob.glob(str(path), recursive=True)))
        images = [image for image in found if image.suffix.lower() in SUFFIXES and image.is_file()]
        if images:
            return images
        raise UsageError(f"{path} matches no images. Looked for {' '.join(sorted(SUFFIXES))}.")
    raise UsageError(f"{path}: no such file or folder.")


def _family(name: str, file_format: str, keep_suffix: bool, cycle: bool) -> list[str]:
    """What the translation of an image is called, and the way back if it is wanted."""
    stem, own = os.path.splitext(name)
    if file_format == "same":
        suffix = own if own.lower() in FORMAT_OF else ".png"
    else:
        suffix = SUFFIX_OF[cast(FileFormat, file_format)]
    root = name if keep_suffix else stem
    return [f"{root}{suffix}", f"{root}.cycled{suffix}"] if cycle else [f"{root}{suffix}"]


def _plan_one(image: Path, output: Path, file_format: str | None, cycle: bool, gallery: bool) -> Plan:
    found = FORMAT_OF.get(output.suffix.lower())
    if not found or file_format not in (None, "same", found):
        raise UsageError(
            f"The output must be a folder or end in {' '.join(FORMAT_OF)}, as `--format` has it. Received: {output}."
        )
    if gallery:
        raise UsageError(f"A gallery needs a folder as output. Received: {output}.")
    if output.exists() and output.samefile(image):
        raise UsageError(f"{output} would overwrite the input {image}. Choose another output.")
    cycled = output.with_suffix(f".cycled{output.suffix}") if cycle else None
    return Plan([Job(image, image.name, output, cycled, None)], None)


def _check_places(jobs: list[Job], folders: list[Path], output: Path) -> None:
    """Links in the output could lead anywhere; and what lies in the input would be translated the next time."""
    files = Counter(str(path).casefold() for job in jobs for path in job.files)
    if twice := [name for name, count in files.items() if count > 1]:
        raise UsageError(f"Two images would become {twice[0]}. Rename one of them.")
    for folder in {output, *(path.parent for job in jobs for path in job.files)}:
        for source in folders:
            if _is_within(folder, source):
                raise UsageError(f"{folder} is in the input {source}. Choose an output beside it.")
        if output.exists() and not _is_within(folder, output):
            raise UsageError(f"{folder} is a link that leads out of the output {output}. Remove it.")
    for job in jobs:
        if any(path.exists() and path.samefile(job.source) for path in job.files):
            raise UsageError(f"{job.output} would overwrite the input {job.source}. Choose another output.")


def _is_within(path: Path, folder: Path) -> bool:
    resolved = path.resolve()
    return any(parent.exists() and parent.samefile(folder) for parent in (resolved, *resolved.parents))
