"""Where the encoded images of both domains are: a named data set, a folder, or two folders."""

import difflib
import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from cyclegan.config.sections import DataConfig
from cyclegan.data.headers import BadImage, read_header
from cyclegan.data.listing import SPLITS, SUFFIXES, list_images
from cyclegan.data.named import NAMED
from cyclegan.errors import CycleganError, UsageError

LAYOUT = "trainA and trainB, and where there are test images testA and testB"


class Source(NamedTuple):
    """The image files of both domains, for training and for testing.

    Attributes:
        name: of the data set.
        train_a: training images of domain A, sorted, at least one.
        train_b: training images of domain B, sorted, at least one.
        test_a: test images of domain A, sorted, perhaps none.
        test_b: test images of domain B, sorted, perhaps none.
        folder: what holds trainA and trainB; None if the domains are two folders.
    """

    name: str
    train_a: tuple[pathlib.Path, ...]
    train_b: tuple[pathlib.Path, ...]
    test_a: tuple[pathlib.Path, ...]
    test_b: tuple[pathlib.Path, ...]
    folder: pathlib.Path | None


def fingerprint(source: Source) -> str:
    """SHA-256 over names and sizes in bytes of the training images, A then B: the same wherever the data set lies.

    Their content is not read, which would take as long as an epoch.
    """
    digest = hashlib.sha256()
    for domain in (source.train_a, source.train_b):
        for path in domain:
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(b"\0")
    return digest.hexdigest()


def default_data_dir() -> pathlib.Path:
    """Where data sets are kept: $CYCLEGAN_DATA_DIR, else ~/.cache/cyclegan."""
    return _path(os.environ.get("CYCLEGAN_DATA_DIR") or "~/.cache/cyclegan")


def resolve_source(config: DataConfig, data_dir: pathlib.Path, report: Callable[[str], None]) -> Source:
    """Finds the images that a configuration asks for; prepares a named data set if it is not there yet.

    A name stands for the data set even where a folder is called alike; `./name` is the folder.

    Args:
        config: `domain_a`, `domain_b` and `test_fraction`, or `dataset`.
        data_dir: where named data sets are kept.
        report: called with a line for whatever takes time or may surprise.

    Raises:
        UsageError: if there is no such data set or folder, or a domain has no training images.
        CycleganError: if a named data set cannot be prepared.
    """
    if config.domain_a is not None and config.domain_b is not None:
        return _source_of_domains(_path(config.domain_a), _path(config.domain_b), config.test_fraction)
    name, folder = config.dataset, _path(config.dataset)
    if name in NAMED:
        if folder.is_dir():
            report(f"`{name}` is the data set of this name; for the folder here, give ./{name}")
        return _source_of_folder(name, prepare_dataset(name, data_dir, report))
    if not folder.is_dir():
        raise _unknown(name)
    return _source_of_folder(folder.resolve().name, folder)


def prepare_dataset(name: str, data_dir: pathlib.Path, report: Callable[[str], None]) -> pathlib.Path:
    """The folder of a named data set, which is drawn or downloaded if it is not there yet.

    Raises:
        UsageError: if there is no data set of this name.
        CycleganError: if it cannot be prepared.
    """
    if name not in NAMED:
        raise _unknown(name)
    return NAMED[name].prepare(data_dir, report)


def scan_headers(source: Source, max_pixels: int, max_bad_images: int, report: Callable[[str], None]) -> Source:
    """Leaves out the files whose headers say that they cannot be used. No image is decoded.

    Args:
        source: the files to look at.
        max_pixels: images of more, width times height, are left out.
        max_bad_images: files that may be left out.
        report: called with a line for each of them.

    Raises:
        CycleganError: if more than `max_bad_images` are bad, or none of a domain's training images is left.
    """
    splits = (source.train_a, source.train_b, source.test_a, source.test_b)
    paths = [path for split in splits for path in split]
    with ThreadPoolExecutor() as threads:
        problems = threads.map(lambda path: _problem(path, max_pixels), paths)
        bad = {path: problem for path, problem in zip(paths, problems, strict=True) if problem}
    if len(bad) > max_bad_images:
        path, problem = next(iter(bad.items()))
        raise CycleganError(
            f"{len(bad)} images cannot be used, `data.max_bad_images` allows {max_bad_images}. The first: "
            f"{problem}. `cyclegan data check {source.folder or path.parent}` lists them all."
        )
    for problem in bad.values():
        report(f"Left out: {problem}")
    train_a, train_b, test_a, test_b = (tuple(path for path in split if path not in bad) for split in splits)
    for domain, before, after in (("A", source.train_a, train_a), ("B", source.train_b, train_b)):
        if not after:
            raise CycleganError(
                f"None of the training images of domain {domain} can be used. The first: {bad[before[0]]}."
            )
    return source._replace(train_a=train_a, train_b=train_b, test_a=test_a, test_b=test_b)


def _path(text: str) -> pathlib.Path:
    return pathlib.Path(os.path.expanduser(text))


def _source_of_folder(name: str, folder: pathlib.Path) -> Source:
    if not all((folder / split).is_dir() for split in SPLITS[:2]):
        found = sorted(path.name for path in folder.iterdir() if path.is_dir())
        shown = ", ".join(found[:5] + ["..."] * (len(found) > 5)) or "no folder"
        raise UsageError(f"{folder} must hold {LAYOUT}. Received: {shown}.")
    train_a, train_b = (tuple(_images_of_domain(folder / split)) for split in SPLITS[:2])
    test_a, test_b = (tuple(list_images(folder / split)) if (folder / split).is_dir() else () for split in SPLITS[2:])
    return Source(name, train_a, train_b, test_a, test_b, folder)


def _source_of_domains(folder_a: pathlib.Path, folder_b: pathlib.Path, test_fraction: float) -> Source:
    real_a, real_b = folder_a.resolve(), folder_b.resolve()
    if real_a.is_relative_to(real_b) or real_b.is_relative_to(real_a):
        raise UsageError(
            "`data.domain_a` and `data.domain_b` must be different folders, neither inside the other. "
            f"Received: {folder_a} and {folder_b}."
        )
    train_a, test_a = _split(_images_of_domain(folder_a), folder_a, test_fraction)
    train_b, test_b = _split(_images_of_domain(folder_b), folder_b, test_fraction)
    return Source(f"{real_a.name}2{real_b.name}", train_a, train_b, test_a, test_b, None)


def _images_of_domain(folder: pathlib.Path) -> list[pathlib.Path]:
    if images := list_images(folder):
        return images
    raise UsageError(f"{folder} holds no images. Formats looked for: {' '.join(sorted(SUFFIXES))}.")


def _split(
    images: Sequence[pathlib.Path], folder: pathlib.Path, test_fraction: float
) -> tuple[tuple[pathlib.Path, ...], tuple[pathlib.Path, ...]]:
    """Train and test, both in the order of `images`; at least one is for training.

    A file's place depends on its name below `folder` alone: the split needs no seed, it hardly changes when
    files are added, and files of one name in both domains tend to fall on the same side.
    """
    num_test = min(round(test_fraction * len(images)), len(images) - 1)
    names = {path: os.fsencode(path.relative_to(folder).as_posix()) for path in images}
    test = set(sorted(images, key=lambda path: hashlib.sha256(names[path]).digest())[:num_test])
    return tuple(path for path in images if path not in test), tuple(path for path in images if path in test)


def _unknown(name: str) -> UsageError:
    nearest = difflib.get_close_matches(name.lower(), NAMED, n=1)
    suggestion = f" Did you mean `{nearest[0]}`?" if nearest else ""
    return UsageError(
        f"`{name}` is neither a data set nor a folder.{suggestion} Data sets: {', '.join(NAMED)}. "
        f"A folder must hold {LAYOUT}."
    )


def _problem(path: pathlib.Path, max_pixels: int) -> BadImage | None:
    try:
        read_header(path, max_pixels)
    except BadImage as error:
        return error
    return None
