"""Which image becomes which file. No two images become the same file."""

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
"""The format of a file by its suffix. With the format `same`, images with other suffixes become PNG."""


_PICTURES = {"input": ".webp", "output": ".output.webp", "cycled": ".cycled.webp"}
"""The ends of the names of the pictures of a gallery."""


class Job(NamedTuple):
    """One image and the files that it becomes.

    Attributes:
        source: the image.
        name: the path of the image below the input folder, in POSIX form.
        output: the file of its translation.
        cycled: the file of the translation that is translated back; None: it is not wanted.
        picture: the file of a copy of the image that browsers can show; None: no gallery is wanted.
    """

    source: Path
    name: str
    output: Path
    cycled: Path | None
    picture: Path | None

    @property
    def translations(self) -> list[Path]:
        """The files that a network computes."""
        return [path for path in (self.output, self.cycled) if path]

    @property
    def files(self) -> list[Path]:
        """All files that the image becomes, with the pictures of a gallery."""
        pictures = [self.picture, *map(self.picture_of, self.translations)] if self.picture else []
        return [*self.translations, *pictures]

    def picture_of(self, translation: Path) -> Path:
        """The file of a copy of one of the translations that browsers can show."""
        assert self.picture
        return self.picture.with_suffix(_PICTURES["output" if translation == self.output else "cycled"])


class Naming(NamedTuple):
    """All images and their files.

    Attributes:
        jobs: one for each image.
        folder: the output folder; None: the output is a single file.
        unlisted: folders of the input that cannot be listed, each with the reason.
    """

    jobs: list[Job]
    folder: Path | None
    unlisted: list[tuple[Path, str]]


def name_files(
    inputs: Sequence[Path],
    output: Path,
    *,
    file_format: FileFormat | Literal["same"] | None = None,
    cycle: bool = False,
    gallery: bool = False,
) -> Naming:
    """Finds the images and names their translations.

    `output` gets the same folders as the input: `input/x/horse.jpg` becomes `output/x/horse.png`. If two images would
    get the same name, or names that differ only in case, they keep their suffixes: `horse.jpg.png` and `horse.bmp.png`.
    If these names are taken too, they are numbered: `horse.jpg-2.png`.

    In folders and patterns, hidden files and files without the suffix of an image are passed over. If
    `output` lies below the folder where a pattern starts, the pattern does not match the files in it.

    Args:
        inputs: images, folders and patterns such as `photos/**/*.jpg`. An image that is named several times is
            translated once.
        output: a folder, which need not exist; for one image also a path with the suffix of a format.
        file_format: the format of the translations. "same": the format of the image if it can be written, otherwise
            PNG. None: the format of the suffix of `output`, or PNG if `output` is a folder.
        cycle: whether the translations are translated back, to `horse.cycled.png`.
        gallery: whether copies of the input are wanted, in `output/gallery/`.

    Raises:
        UsageError: if there are no images, or an output would lie in a folder of the input or outside of `output`, or
            would replace an image of the input.
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
        return _name_one(images[0], output, file_format, cycle, gallery)
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
    reasons = [(Path(error.filename), f"the folder cannot be listed: {error.strerror}") for error in unlisted]
    return Naming(jobs, output, reasons)


def _find(path: Path, output: Path, unlisted: list[OSError]) -> tuple[str, list[Path]]:
    """The absolute path of the folder whose tree is mirrored, and the images in it.

    The path depends on `path` only, so a later call with more images gives the same names.
    """
    if path.is_dir():
        if images := list_images(path, unlisted.append):
            return os.path.abspath(path), images
        if unlisted:
            raise UsageError(f"{unlisted[0].filename} cannot be listed: {unlisted[0].strerror}.")
        raise UsageError(f"{path} contains no images. Looked for {' '.join(sorted(SUFFIXES))}.")
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
    raise UsageError(f"The input {path} does not exist.")


def _places(images: list[Path]) -> list[str]:
    """One path for each file, the same for all links to its folder."""
    real = {folder: os.path.realpath(folder) for folder in {os.path.dirname(image) for image in images}}
    return [os.path.join(real[os.path.dirname(image)], image.name) for image in images]


def _files(
    names: list[str], file_format: str, cycle: bool, gallery: bool
) -> Iterator[tuple[str, str | None, str | None]]:
    """For each image the names of its translation, of the one translated back, and of its picture.

    All names differ, and no file gets the name of a folder. Names are strings, because there may be millions of them.
    """
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
            picture = f"gallery/{name}{f'-{number}' if number > 1 else ''}" if gallery else None
            if picture:
                folded |= {f"{picture}{end}".casefold() for end in _PICTURES.values()}
            if folded.isdisjoint(taken) and (number or all(claims[path] == 1 for path in folded if path in claims)):
                break
        taken |= folded
        yield *family, f"{picture}{_PICTURES['input']}" if picture else None


def _folders(name: str) -> Iterator[str]:
    while name := os.path.dirname(name):
        yield name


def _family(name: str, number: int, file_format: str, cycle: bool) -> tuple[str, str | None]:
    """The names of a translation, and of the one translated back, in attempt `number` to find free names."""
    stem, own = os.path.splitext(name)
    if file_format == "same":
        suffix = own if own.lower() in FORMAT_OF else ".png"
    else:
        suffix = SUFFIX_OF[cast(FileFormat, file_format)]
    root = (stem, name)[number] if number < 2 else f"{name}-{number}"
    return f"{root}{suffix}", f"{root}.cycled{suffix}" if cycle else None


def _name_one(image: Path, output: Path, file_format: str | None, cycle: bool, gallery: bool) -> Naming:
    found = FORMAT_OF.get(output.suffix.lower())
    if not found or file_format not in (None, "same", found):
        raise UsageError(
            f"The output must be a folder or end in {' '.join(FORMAT_OF)}, and must not contradict `--format`."
            f" Received: {output}."
        )
    if gallery:
        raise UsageError(f"With `--gallery` the output must be a folder. Received: {output}.")
    job = Job(image, image.name, output, output.with_suffix(f".cycled{output.suffix}") if cycle else None, None)
    refuse_sources([job], job.files)
    return Naming([job], None, [])


def _check_places(jobs: list[Job], folders: list[Path], output: Path) -> None:
    """Refuses outputs in the input, which would be translated by the next call, and links that lead elsewhere."""
    for folder in {output, *(path.parent for job in jobs for path in job.files)}:
        for source in folders:
            if _is_within(folder, source):
                raise UsageError(f"The output {folder} is in the input {source}. Choose an output outside of it.")
        place = os.path.join(os.path.realpath(output), os.path.relpath(folder, output))
        if os.path.lexists(folder) and os.path.realpath(folder) != os.path.normpath(place):
            raise UsageError(
                f"{folder} is a link to a place outside of the output {output}, or elsewhere in it. Remove this link."
            )
    refuse_sources(jobs, (path for job in jobs for path in job.files))


def refuse_sources(jobs: Sequence[Job], outputs: Iterable[Path]) -> None:
    """Makes sure that no image of the input is replaced, even if links give it several names.

    Raises:
        UsageError: if one of `outputs` is the source of a job.
    """
    there = [path for path in outputs if os.path.exists(path)]
    sources = {_identity(job.source): job.source for job in jobs if there and os.path.exists(job.source)}
    for path in there:
        if source := sources.get(_identity(path)):
            raise UsageError(f"{path} would replace the input {source}. Choose another output.")


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _is_within(path: Path, folder: Path) -> bool:
    resolved = path.resolve()
    return any(parent.exists() and parent.samefile(folder) for parent in (resolved, *resolved.parents))
