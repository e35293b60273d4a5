"""Which image goes to which file, with no two to the same."""

import glob
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
    """What is to be done.

    Attributes:
        jobs: all images.
        folder: gets the report; None where the output is one file.
        unlisted: folders of the input that cannot be listed, with the reason.
    """

    jobs: list[Job]
    folder: Path | None
    unlisted: list[tuple[Path, str]]


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
    the same name, with or without regard to case, they keep their suffixes: `horse.jpg.png` and `horse.bmp.png`; where
    that is not enough, they are numbered: `horse.jpg-2.png`.

    Args:
        inputs: images, folders and patterns such as `photos/**/*.jpg`, each once however often it is named; hidden
            files, and of folders and patterns all that is no image by its suffix, are passed over, and of patterns
            what lies in an `output` below them.
        output: a folder, created later; for one image also a path with the suffix of a format.
        file_format: None: as the suffix of `output` says, else PNG. "same": that of the image if it is one that is
            written, else PNG.
        cycle: whether the way back is wanted: `horse.cycled.png`.
        gallery: whether pictures of the input are wanted, below `output/gallery/`.

    Raises:
        UsageError: if there are no images, or an output would lie in a folder of the input or outside of `output`, or
            replace an image of the input.
    """
    found: dict[str, tuple[Path, str]] = {}
    bases = []
    unlisted: list[OSError] = []
    for path in inputs:
        base, images = _find(path, output, unlisted)
        bases.append(base)
        for image, place in zip(images, _places(images), strict=True):
            found.setdefault(place, (image, os.path.join(base, os.path.relpath(image, base))))
    images = [image for image, _ in found.values()]
    if len(inputs) == 1 and inputs[0].is_file() and output.suffix.lower() in SUFFIXES and not output.is_dir():
        return _plan_one(images[0], output, file_format, cycle, gallery)
    if os.path.lexists(output) and not output.is_dir():
        raise UsageError(f"The output must be a folder. Received: {output}.")

    shared = os.path.join(os.path.commonpath(bases), "")
    names = [name.removeprefix(shared) for _, name in found.values()]
    jobs = []
    for image, name, files in zip(images, names, _files(names, file_format or "png", cycle, gallery), strict=True):
        translation, cycled, picture = files
        jobs.append(
            Job(
                image,
                name.replace(os.sep, "/"),
                output / translation,
                output / cycled if cycled else None,
                output / picture if picture else None,
            )
        )
    _check_places(jobs, [path for path in inputs if path.is_dir()], output)
    return Plan(jobs, output, [(Path(error.filename), f"cannot be listed: {error.strerror}") for error in unlisted])


def _find(path: Path, output: Path, unlisted: list[OSError]) -> tuple[str, list[Path]]:
    """The folder whose tree is mirrored, absolute, and its images. It does not depend on which images there are."""
    if path.is_dir():
        if images := list_images(path, unlisted.append):
            return os.path.abspath(path), images
        if unlisted:
            raise UsageError(f"{unlisted[0].filename}: cannot be listed: {unlisted[0].strerror}.")
        raise UsageError(f"{path} holds no images. Looked for {' '.join(sorted(SUFFIXES))}.")
    if os.path.exists(path):
        return os.path.abspath(path.parent), [path]
    if glob.has_magic(str(path)):
        plain = itertools.takewhile(lambda part: not glob.has_magic(part), path.parts)
        base = os.path.abspath(os.path.join(*plain, ""))
        found = (Path(name) for name in sorted(glob.glob(str(path), recursive=True)))
        images = [image for image in found if image.suffix.lower() in SUFFIXES and not image.is_dir()]
        own = os.path.join(os.path.realpath(output), "")
        if own.startswith(os.path.join(os.path.realpath(base), "")) and os.path.realpath(base) != own.rstrip(os.sep):
            images = [image for image, place in zip(images, _places(images), strict=True) if not place.startswith(own)]
        if images:
            return base, images
        raise UsageError(f"{path} matches no images. Looked for {' '.join(sorted(SUFFIXES))}.")
    raise UsageError(f"{path}: no such file or folder.")


def _places(images: list[Path]) -> list[str]:
    """One string for all the ways to a file, through links to folders too."""
    real = {folder: os.path.realpath(folder) for folder in {os.path.dirname(image) for image in images}}
    return [os.path.join(real[os.path.dirname(image)], image.name) for image in images]


def _files(
    names: list[str], file_format: str, cycle: bool, gallery: bool
) -> Iterator[tuple[str, str | None, str | None]]:
    """For each image its translation, its way back and its picture; no two alike, and none as a folder of another."""
    # Strings, because there may be millions.
    claims = Counter(
        path.casefold()
        for name in names
        for number in (0, 1)
        for path in _family(name, number, file_format, cycle)
        if path
    )
    taken = {folder.casefold() for name in names for folder in _folders(name)}
    for name in names:
        for number in itertools.count():
            family = _family(name, number, file_format, cycle)
            folded = {path.casefold() for path in family if path}
            picture = f"gallery/{name}{f'-{number}' if number > 1 else ''}.webp" if gallery else None
            if picture:
                folded.add(picture.casefold())
            if folded.isdisjoint(taken) and (number or all(claims[path] == 1 for path in folded if path in claims)):
                break
        taken |= folded
        yield *family, picture


def _folders(name: str) -> Iterator[str]:
    while name := os.path.dirname(name):
        yield name


def _family(name: str, number: int, file_format: str, cycle: bool) -> tuple[str, str | None]:
    """What the translation of an image is called, and the way back if it is wanted, at the first attempts."""
    stem, own = os.path.splitext(name)
    if file_format == "same":
        suffix = own if own.lower() in FORMAT_OF else ".png"
    else:
        suffix = SUFFIX_OF[cast(FileFormat, file_format)]
    root = (stem, name)[number] if number < 2 else f"{name}-{number}"
    return f"{root}{suffix}", f"{root}.cycled{suffix}" if cycle else None


def _plan_one(image: Path, output: Path, file_format: str | None, cycle: bool, gallery: bool) -> Plan:
    found = FORMAT_OF.get(output.suffix.lower())
    if not found or file_format not in (None, "same", found):
        raise UsageError(
            f"The output must be a folder or end in {' '.join(FORMAT_OF)}, as `--format` has it. Received: {output}."
        )
    if gallery:
        raise UsageError(f"A gallery needs a folder as output. Received: {output}.")
    job = Job(image, image.name, output, output.with_suffix(f".cycled{output.suffix}") if cycle else None, None)
    refuse_sources([job], job.files)
    return Plan([job], None, [])


def _check_places(jobs: list[Job], folders: list[Path], output: Path) -> None:
    """Links in the output could lead anywhere; and what lies in the input would be translated the next time."""
    for folder in {output, *(path.parent for job in jobs for path in job.files)}:
        for source in folders:
            if _is_within(folder, source):
                raise UsageError(f"{folder} is in the input {source}. Choose an output beside it.")
        place = os.path.join(os.path.realpath(output), os.path.relpath(folder, output))
        if os.path.lexists(folder) and os.path.realpath(folder) != os.path.normpath(place):
            raise UsageError(
                f"{folder} is a link that leads out of the output {output}, or to another place in it. Remove it."
            )
    refuse_sources(jobs, (path for job in jobs for path in job.files))


def refuse_sources(jobs: Sequence[Job], outputs: Iterable[Path]) -> None:
    """No image of the input is replaced, whatever the names are that lead to it.

    Raises:
        UsageError: if one of `outputs` is the source of a job.
    """
    there = [path for path in outputs if os.path.exists(path)]
    sources = {_identity(job.source): job.source for job in jobs if there and os.path.exists(job.source)}
    for path in there:
        if source := sources.get(_identity(path)):
            raise UsageError(f"{path} would overwrite the input {source}. Choose another output.")


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _is_within(path: Path, folder: Path) -> bool:
    resolved = path.resolve()
    return any(parent.exists() and parent.samefile(folder) for parent in (resolved, *resolved.parents))
