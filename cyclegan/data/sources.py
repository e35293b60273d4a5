"""The image files of both domains: from a data set that has a name, from a folder, or from two folders."""

import difflib
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

from cyclegan.config.sections import DataConfig
from cyclegan.data.header_scan import find_bad_headers
from cyclegan.data.listing import SPLITS, SUFFIXES, list_images, list_names
from cyclegan.data.named import NAMED
from cyclegan.errors import CycleganError, UsageError

LAYOUT = "trainA and trainB, and testA and testB if there are test images"


CACHE = "cache"
"""The folder in the data directory for what can be deleted and made again."""


class Source(NamedTuple):
    """The image files of both domains, for training, for validation and for testing.

    Attributes:
        name: name of the data set.
        train_a: training images of domain A, sorted; at least one.
        train_b: training images of domain B, sorted; at least one.
        test_a: test images of domain A, sorted; there may be none.
        test_b: test images of domain B, sorted; there may be none.
        folder: the folder that holds trainA and trainB; None if the domains are two folders.
        validation_a: images of domain A that a run holds back from its training; `resolve_source` holds back none.
        validation_b: the same of domain B.
    """

    name: str
    train_a: tuple[pathlib.Path, ...]
    train_b: tuple[pathlib.Path, ...]
    test_a: tuple[pathlib.Path, ...]
    test_b: tuple[pathlib.Path, ...]
    folder: pathlib.Path | None
    validation_a: tuple[pathlib.Path, ...] = ()
    validation_b: tuple[pathlib.Path, ...] = ()

    @property
    def epoch_size(self) -> int:
        """The number of training images of the larger domain, of which an epoch shows each once."""
        return max(len(self.train_a), len(self.train_b))


def default_data_dir() -> pathlib.Path:
    """The folder where data sets are kept: $CYCLEGAN_DATA_DIR, or ~/.cache/cyclegan if that is not set."""
    return _path(os.environ.get("CYCLEGAN_DATA_DIR") or "~/.cache/cyclegan")


def resolve_source(config: DataConfig, data_dir: pathlib.Path, report: Callable[[str], None]) -> Source:
    """Finds the images that a configuration asks for, and prepares a named data set if it is not on disk yet.

    A name means the data set even if there is a folder of the same name; `./name` means the folder.

    Args:
        config: says where the images are with `domain_a`, `domain_b` and `test_fraction`, or with `dataset`.
        data_dir: the folder where named data sets are kept.
        report: called with one line before anything that takes long, and if a name could be misunderstood.

    Raises:
        UsageError: if the data set or the folder does not exist, or if a domain has no training images.
        CycleganError: if a named data set cannot be prepared.
    """
    if config.domain_a is not None and config.domain_b is not None:
        return _source_of_domains(_path(config.domain_a), _path(config.domain_b), config.test_fraction)
    name, folder = config.dataset, _path(config.dataset)
    if name in NAMED:
        if folder.is_dir():
            report(f"`{name}` means the data set of this name. To use the folder {name} instead, write ./{name}")
        return _source_of_folder(name, prepare_dataset(name, data_dir, report))
    if not folder.is_dir():
        raise _missing(folder) if os.sep in name else _unknown(name, may_be_folder=True)
    return _source_of_folder(folder.resolve().name, folder)


def prepare_dataset(name: str, data_dir: pathlib.Path, report: Callable[[str], None]) -> pathlib.Path:
    """The folder of a named data set, which is drawn or downloaded if it is not on disk yet.

    Raises:
        UsageError: if there is no data set of this name.
        CycleganError: if the data set cannot be prepared.
    """
    if name not in NAMED:
        raise _unknown(name, may_be_folder=False)
    return NAMED[name].prepare(data_dir, report)


def scan_headers(
    source: Source,
    max_pixels: int,
    max_bad_images: int,
    report: Callable[[str], None],
    *,
    cache_dir: pathlib.Path | None = None,
) -> Source:
    """Leaves out the files whose headers show that they cannot be used. No image is decoded.

    Args:
        source: the files to check.
        max_pixels: an image is left out if its width times its height is larger than this.
        max_bad_images: the number of files that may be left out.
        report: called with one line for each file that is left out.
        cache_dir: the folder for caches, which remembers the good files, so that they are not opened again; None
            remembers nothing.

    Raises:
        CycleganError: if more than `max_bad_images` files are bad, or if a domain has no training images left.
    """
    splits = (source.train_a, source.train_b, source.test_a, source.test_b)
    paths = [path for split in splits for path in split]
    bad = find_bad_headers(paths, max_pixels, _manifest(source, cache_dir) if cache_dir else None)
    if len(bad) > max_bad_images:
        path, problem = next(iter(bad.items()))
        raise CycleganError(
            f"{len(bad)} images cannot be used, but `data.max_bad_images` allows only {max_bad_images}. The first one"
            f" is {problem}. `cyclegan data check {source.folder or path.parent}` lists all of them."
        )
    for problem in bad.values():
        report(f"Left out: {problem}")
    train_a, train_b, test_a, test_b = (tuple(path for path in split if path not in bad) for split in splits)
    for domain, before, after in (("A", source.train_a, train_a), ("B", source.train_b, train_b)):
        if not after:
            raise CycleganError(
                f"None of the training images of domain {domain} can be used. The first one is {bad[before[0]]}."
            )
    return source._replace(train_a=train_a, train_b=train_b, test_a=test_a, test_b=test_b)


def _manifest(source: Source, cache_dir: pathlib.Path) -> pathlib.Path:
    """The file that remembers the good headers: one for the folder, or for the two folders, of a data set."""
    folders = [source.folder] if source.folder else [source.train_a[0].parent, source.train_b[0].parent]
    places = "\0".join(os.path.abspath(folder) for folder in folders)
    return cache_dir / "headers" / f"{hashlib.blake2b(os.fsencode(places), digest_size=16).hexdigest()}.npz"


def _path(text: str) -> pathlib.Path:
    return pathlib.Path(os.path.expanduser(text))


def _source_of_folder(name: str, folder: pathlib.Path) -> Source:
    if not all((folder / split).is_dir() for split in SPLITS[:2]):
        found = sorted(path.name for path in folder.iterdir() if path.is_dir())
        shown = ", ".join(found[:5] + ["..."] * (len(found) > 5)) or "no folder"
        raise UsageError(f"{folder} must hold {LAYOUT}. Received: {shown}.")
    train_a, train_b = (
        tuple(folder / split / name for name in _names_of_domain(folder / split)) for split in SPLITS[:2]
    )
    test_a, test_b = (tuple(list_images(folder / split)) if (folder / split).is_dir() else () for split in SPLITS[2:])
    return Source(name, train_a, train_b, test_a, test_b, folder)


def _source_of_domains(folder_a: pathlib.Path, folder_b: pathlib.Path, test_fraction: float) -> Source:
    real_a, real_b = folder_a.resolve(), folder_b.resolve()
    if real_a.is_relative_to(real_b) or real_b.is_relative_to(real_a):
        raise UsageError(
            "`data.domain_a` and `data.domain_b` must be different folders, neither inside the other. "
            f"Received: {folder_a} and {folder_b}."
        )
    train_a, test_a = _split(folder_a, test_fraction)
    train_b, test_b = _split(folder_b, test_fraction)
    return Source(f"{real_a.name}2{real_b.name}", train_a, train_b, test_a, test_b, None)


def _names_of_domain(folder: pathlib.Path) -> list[str]:
    if names := list_names(folder):
        return names
    raise UsageError(f"{folder} holds no images. Formats looked for: {' '.join(sorted(SUFFIXES))}.")


def _split(folder: pathlib.Path, test_fraction: float) -> tuple[tuple[pathlib.Path, ...], tuple[pathlib.Path, ...]]:
    """The images of a folder for training, at least one, and those for testing, both sorted by their names.

    The side of a file depends only on its name below `folder`. So the split needs no seed, it hardly changes when files
    are added, and two files with the same name in both domains usually fall on the same side.
    """
    names = _names_of_domain(folder)
    num_test = min(round(test_fraction * len(names)), len(names) - 1)
    test = set(sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())[:num_test])
    return tuple(folder / name for name in names if name not in test), tuple(
        folder / name for name in names if name in test
    )


def _missing(folder: pathlib.Path) -> UsageError:
    problem = f"{folder} is not a folder" if folder.exists() else f"The folder {folder} does not exist"
    return UsageError(f"{problem}. A folder must hold {LAYOUT}. `cyclegan data list` shows the data sets.")


def _unknown(name: str, may_be_folder: bool) -> UsageError:
    nearest = difflib.get_close_matches(name.lower(), NAMED, n=1)
    suggestion = f" Did you mean `{nearest[0]}`?" if nearest else ""
    problem = "neither a data set nor a folder" if may_be_folder else "not a data set"
    folders = f" A folder must hold {LAYOUT}." if may_be_folder else ""
    return UsageError(f"`{name}` is {problem}.{suggestion} The data sets are {', '.join(NAMED)}.{folders}")
