"""The training images of a run, as its first session found them: what a later session compares with.

The order of the images decides the batches. It follows their names relative to the folder of their domain, so a data
set may move to another place. A file that breaks keeps its position, and the reader takes the next image instead.
"""

import gzip
import hashlib
import json
import os
import pathlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from cyclegan.config.sections import DataConfig
from cyclegan.data.decoding import read_pixels
from cyclegan.data.headers import BadImage
from cyclegan.data.listing import SPLITS
from cyclegan.data.sources import Source
from cyclegan.errors import UsageError

DOMAINS = ("a", "b")

MIN_VALIDATION = 2
"""At least so many images of a domain are held back, because a score of a single image says nothing."""

Use = Literal["training", "validation", "left out"]


class TrainingImage(NamedTuple):
    """A file among the training images.

    Attributes:
        domain: "a" or "b".
        name: the path relative to the folder of the domain, in POSIX form.
        num_bytes: the size of the file.
        use: "training", "validation" if it is held back for the scores, or "left out" because of its header.
    """

    domain: str
    name: str
    num_bytes: int
    use: Use


Inventory = tuple[TrainingImage, ...]


def hold_back(source: Source, config: DataConfig) -> Source:
    """Moves a part of the training images to the validation images, which only the scores of a run see.

    Which ones depends on their names below the folder of their domain alone, as for test images, but not on the same
    digits: they are a random part of what the tests leave.

    Args:
        source: the images, of which none is held back yet.
        config: `validation_fraction` says how many, and where the folders of the domains are.

    Raises:
        UsageError: if a domain has too few images for that.
    """
    if not config.validation_fraction:
        return source
    parts: dict[str, tuple[list[pathlib.Path], list[pathlib.Path]]] = {}
    for domain in DOMAINS:
        named = [(name, path) for one, name, path in _named_paths(source, config) if one == domain]
        number = max(MIN_VALIDATION, round(config.validation_fraction * len(named)))
        if 2 * number > len(named):
            raise UsageError(
                f"`data.validation_fraction` holds back at least {MIN_VALIDATION} images of each domain, and must leave"
                f" at least half of them. Received: {config.validation_fraction} of {len(named)} images of domain"
                f" {domain.upper()}."
            )
        drawn = sorted(named, key=lambda pair: hashlib.sha256(b"validation\0" + os.fsencode(pair[0])).digest())
        held = {path for _, path in drawn[:number]}
        parts[domain] = [path for _, path in named if path not in held], [path for _, path in named if path in held]
    (train_a, validation_a), (train_b, validation_b) = ((tuple(x), tuple(y)) for x, y in parts.values())
    return source._replace(train_a=train_a, train_b=train_b, validation_a=validation_a, validation_b=validation_b)


def take_inventory(listed: Source, used: Source, config: DataConfig) -> Inventory:
    """The training images of both domains, each in the order of training.

    Args:
        listed: all files, as `resolve_source` lists them.
        used: the files without those that `scan_headers` left out, and with those that `hold_back` has moved.
        config: says where the folders of the domains are.
    """
    uses: dict[pathlib.Path, Use] = dict.fromkeys((*used.train_a, *used.train_b), "training")
    uses |= dict.fromkeys((*used.validation_a, *used.validation_b), "validation")
    return tuple(
        TrainingImage(domain, name, _num_bytes(path), uses.get(path, "left out"))
        for domain, name, path in _named_paths(listed, config)
    )


def fingerprint(inventory: Iterable[TrainingImage]) -> str:
    """SHA-256 over the names and the sizes in bytes of the images to train with, first of domain A, then of domain B.

    The fingerprint does not depend on the place of the data set. The content of the images is not read, because that
    would take as long as an epoch.
    """
    used = [image for image in inventory if image.use == "training"]
    digest = hashlib.sha256()
    for domain in DOMAINS:
        for image in used:
            if image.domain == domain:
                digest.update(os.fsencode(image.name) + f"\0{image.num_bytes}\0".encode())
        digest.update(b"\0")
    return digest.hexdigest()


def encode_inventory(inventory: Inventory) -> bytes:
    """A gzip file of one line of JSON for each image: [domain, name, size in bytes, use]."""
    return gzip.compress("".join(json.dumps(image) + "\n" for image in inventory).encode(), mtime=0)


def decode_inventory(data: bytes) -> Inventory:
    """Reads what `encode_inventory` wrote.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        lines = gzip.decompress(data).decode().splitlines()
        images = (TrainingImage(*json.loads(line)) for line in lines)
        # Runs of earlier versions state only whether an image was left out.
        return tuple(
            image._replace(use="left out" if image.use else "training") if isinstance(image.use, bool) else image
            for image in images
        )
    except (OSError, EOFError, TypeError, zlib.error) as error:
        raise ValueError(str(error)) from error


def recall_images(listed: Source, inventory: Inventory, config: DataConfig) -> Source:
    """The images of a run that is continued, in the order of its first session.

    A file that the first session left out stays out, whatever has become of it. A file that cannot be read any more
    stays in, and counts as a bad image when its turn comes.

    Args:
        listed: all files, as `resolve_source` lists them now.
        inventory: the training images of the first session.
        config: says where the folders of the domains are, and how large an image may be.

    Raises:
        UsageError: if there are new or missing images, or images of another size that can be read.
    """
    folders = dict(zip(DOMAINS, _folders(listed, config), strict=True))
    known = {(image.domain, image.name): image for image in inventory}
    found = {(domain, name): path for domain, name, path in _named_paths(listed, config)}
    used = {key: image for key, image in known.items() if image.use != "left out"}
    new = [path for key, path in found.items() if key not in known]
    missing = [folders[domain] / name for domain, name in used if (domain, name) not in found]
    resized = [path for key, path in found.items() if key in used and _num_bytes(path) != used[key].num_bytes]
    # The search ends at the first image that can be read, so that a whole data set is not decoded.
    changed = resized if any(_is_readable(path, config.max_pixels) for path in resized) else []
    differences = {"new": new, "missing": missing, "of another size": changed}
    if any(differences.values()):
        counts = (f"{len(paths)} {kind} (the first: {paths[0]})" for kind, paths in differences.items() if paths)
        raise UsageError(
            "A run continues with the training images that it was started with, which may be in another place, but must"
            f" have the same names and sizes. Received: {', '.join(counts)}. Put the former images back, or start a new"
            " run with --init-from."
        )

    def used_for(use: Use, domain: str) -> tuple[pathlib.Path, ...]:
        return tuple(path for key, path in found.items() if key[0] == domain and known[key].use == use)

    return listed._replace(
        train_a=used_for("training", "a"),
        train_b=used_for("training", "b"),
        validation_a=used_for("validation", "a"),
        validation_b=used_for("validation", "b"),
    )


def _is_readable(path: pathlib.Path, max_pixels: int) -> bool:
    try:
        read_pixels(path, max_pixels)
    except BadImage:
        return False
    return True


def _folders(source: Source, config: DataConfig) -> tuple[pathlib.Path, pathlib.Path]:
    """The folders of the training images of both domains."""
    if source.folder is not None:
        return source.folder / SPLITS[0], source.folder / SPLITS[1]
    assert config.domain_a and config.domain_b  # because the domains are two folders
    return pathlib.Path(config.domain_a).expanduser(), pathlib.Path(config.domain_b).expanduser()


def _named_paths(source: Source, config: DataConfig) -> Iterator[tuple[str, str, pathlib.Path]]:
    """The domain, the name and the path of each training image."""
    lists = (source.train_a, source.train_b)
    for domain, folder, paths in zip(DOMAINS, _folders(source, config), lists, strict=True):
        for path in paths:
            yield domain, path.relative_to(folder).as_posix(), path


def _num_bytes(path: pathlib.Path) -> int:
    """The size of a file; 0 if it cannot be read, as a link that leads nowhere."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
