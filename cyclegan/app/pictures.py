"""From pictures that somebody has given to the page to what it shows of them."""

import itertools
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cyclegan.bundles.bundle import Bundle
from cyclegan.bundles.info import Direction
from cyclegan.errors import CycleganError
from cyclegan.translation.folder import LISTED, translate_images
from cyclegan.translation.gallery import Entry
from cyclegan.translation.naming import name_files
from cyclegan.translation.pictures import make_entries
from cyclegan.translation.settings import Settings

ARCHIVE = "translations.zip"


class Shown(NamedTuple):
    """What became of some pictures, for the page.

    Attributes:
        entries: the pictures that were translated, each with its translation and the way back.
        files: the translations to download: one PNG file, or an archive of several.
        lines: what the user should know, such as why a picture was not translated.
    """

    entries: list[Entry]
    files: list[Path]
    lines: list[str]


def translate_pictures(
    bundle: Bundle, direction: Direction, pictures: Sequence[Path], folder: Path, devices: Sequence[str] = ("/cpu:0",)
) -> Shown:
    """Translates pictures as `cyclegan translate` does, there and back.

    Args:
        bundle: the trained model.
        direction: "ab" or "ba".
        pictures: the files, at least one.
        folder: an empty folder for what is made of them.
        devices: see `translate_images`.

    Raises:
        UsageError: if the files are not pictures, or the model lacks a direction.
        CycleganError: if a file cannot be read or written.
    """
    lines: list[str] = []
    settings, given, made = Settings(direction), folder / "given", folder / "made"
    try:
        copies = _copy(pictures, given)
        translate_images(bundle, copies, made, settings, cycle=True, devices=devices, say=lines.append)
        jobs = name_files(copies, made, cycle=True, gallery=True).jobs
        done = [job for job in jobs if all(path.is_file() for path in job.translations)]
        entries = make_entries(done, bundle.info, settings, lines.append)
        files = _to_download([job.output for job in done], made)
        shutil.rmtree(given)
    except OSError as error:
        raise CycleganError(f"The pictures cannot be kept in {folder}: {error.strerror or error}.") from error
    # Nobody sees the folders of the server, or the report in them.
    return Shown(entries, files, [line.replace(f"{given}/", "").removesuffix(LISTED) for line in lines])


def _copy(pictures: Sequence[Path], folder: Path) -> list[Path]:
    """Copies pictures into one folder: a browser's files arrive in folders whose names say nothing to people."""
    folder.mkdir(parents=True)
    copies: list[Path] = []
    for picture in pictures:
        names = itertools.chain([picture.name], (f"{picture.stem}-{n}{picture.suffix}" for n in itertools.count(2)))
        copy = next(folder / name for name in names if folder / name not in copies)
        shutil.copyfile(picture, copy)
        copies.append(copy)
    return copies


def _to_download(translations: Sequence[Path], folder: Path) -> list[Path]:
    if len(translations) < 2:
        return list(translations)
    archive = folder / ARCHIVE
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:  # PNG files are compressed already
        for path in translations:
            file.write(path, path.relative_to(folder))
    return [archive]
