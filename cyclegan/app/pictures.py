"""From pictures that somebody has given to the page to what it shows of them."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cyclegan.bundles.bundle import Bundle
from cyclegan.bundles.info import Direction
from cyclegan.translation.folder import translate_images
from cyclegan.translation.gallery import Entry
from cyclegan.translation.naming import name_files
from cyclegan.translation.pictures import make_entries
from cyclegan.translation.settings import Settings

ARCHIVE = "translations.zip"


class Shown(NamedTuple):
    """What the page shows of some pictures.

    Attributes:
        entries: the pictures that were translated, each with its translation and the way back.
        files: the translations to download: one PNG file, or an archive of several.
        lines: what the user should know, such as why a picture was not translated.
    """

    entries: list[Entry]
    files: list[Path]
    lines: list[str]


def translate_pictures(bundle: Bundle, direction: Direction, pictures: Sequence[Path], folder: Path) -> Shown:
    """Translates pictures as `cyclegan translate` does, there and back.

    Args:
        bundle: the trained model.
        direction: "ab" or "ba".
        pictures: the files, at least one.
        folder: an empty folder for what is made of them.

    Raises:
        UsageError: if the files are not pictures, or the model lacks a direction.
        CycleganError: if no file can be written.
    """
    lines: list[str] = []
    settings = Settings(direction)
    translate_images(bundle, pictures, folder, settings, cycle=True, say=lines.append)
    jobs = name_files(pictures, folder, cycle=True, gallery=True).jobs
    done = [job for job in jobs if all(path.is_file() for path in job.translations)]
    entries = make_entries(done, bundle.info, settings, lines.append)
    # The folders in which a browser's files arrive have names that say nothing to people.
    lines = [line.replace(f"{picture.parent}/", "") for line in lines for picture in [_named_in(line, pictures)]]
    return Shown(entries, _to_download([job.output for job in done], folder), lines)


def _named_in(line: str, pictures: Sequence[Path]) -> Path:
    """The picture that a line is about."""
    return next((picture for picture in pictures if str(picture) in line), pictures[0])


def _to_download(translations: Sequence[Path], folder: Path) -> list[Path]:
    if len(translations) < 2:
        return list(translations)
    archive = folder / ARCHIVE
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:  # PNG files are compressed already
        for path in translations:
            file.write(path, path.relative_to(folder))
    return [archive]
