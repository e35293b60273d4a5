"""A bundle to give to others: half the size, with a card that says where it comes from and what it is worth."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cyclegan.bundles.bundle import Bundle, write_bundle
from cyclegan.bundles.info import BundleInfo, Direction
from cyclegan.bundles.places import CARD_FILE, INFO_FILE
from cyclegan.config.config import Config, changed_keys
from cyclegan.errors import CycleganError, UsageError
from cyclegan.evaluation.protocol import Scores
from cyclegan.networks.weights import weight_arrays
from cyclegan.runtime.atomic_files import write_atomically

NOT_STATED = "Nobody has said yet which licence the training images have, or what the model cannot do."


def pack_bundle(
    bundle: Bundle, folder: pathlib.Path, name: str, scores: Sequence[Scores] = (), notes: str = NOT_STATED
) -> None:
    """Writes a bundle whose weights have 16 bits, and its card.

    A generator that is loaded from it computes in float32 as before; its weights are rounded to 11 significant bits.

    Args:
        bundle: the trained model.
        folder: a new or empty folder, or one that was packed before.
        name: the name of the model, for its card.
        scores: of the test images, for its card.
        notes: Markdown for its card: the licence of the data, the cost of the training, what the model cannot do.

    Raises:
        UsageError: if the folder holds something else.
        CycleganError: if a weight has no value of 16 bits, or if something cannot be written.
    """
    refuse_foreign(folder)
    weights: dict[Direction, Mapping[str, np.ndarray]] = {}
    for direction in bundle.info.weights:
        with np.errstate(over="ignore"):  # it is looked for
            arrays = {key: each.astype(np.float16) for key, each in weight_arrays(bundle.generator(direction)).items()}
        weights[direction] = arrays
        large = [key for key, array in arrays.items() if not np.isfinite(array).all()]
        if large:
            raise CycleganError(f"The weight `{large[0]}` of generator_{direction} is too large for 16 bits.")
    try:
        write_bundle(folder, weights, bundle.info)
        card = "\n".join(_card(name, bundle.info, scores, notes))
        write_atomically(folder / CARD_FILE, f"{card}\n".encode())
    except OSError as error:
        raise CycleganError(f"{folder} cannot be written: {error.strerror}.") from error


def refuse_foreign(folder: pathlib.Path) -> None:
    """Makes sure that a bundle may be written into a folder.

    Raises:
        UsageError: if the folder holds anything but a bundle.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / INFO_FILE).is_file())):
        raise UsageError(f"The output must be a new or empty folder, or a bundle to replace. Received: {folder}.")


def _card(name: str, info: BundleInfo, scores: Sequence[Scores], notes: str) -> Iterator[str]:
    """The lines of a model card, in Markdown, with the head that the Hugging Face Hub reads."""
    provenance = info.provenance
    yield from (
        "---",
        "library_name: cyclegan",
        "pipeline_tag: image-to-image",
        "tags: [cyclegan, unpaired]",
        "---",
        "",
    )
    yield from (f"# {name}", "", "A pair of generators that translate images between two domains.", "")
    for direction in sorted(info.weights):
        yield f"    cyclegan translate photos/ translated/ --model {name} --direction {direction}"
    yield from ("", "## Training", "", "| | |", "| --- | --- |")
    yield f"| data set | {provenance.dataset}, fingerprint {provenance.fingerprint[:16] or 'unknown'} |"
    yield f"| steps | {provenance.step:,} at {info.crop_size} pixels |"
    yield f"| parameters | {', '.join(f'{key} {value}' for key, value in _changed(provenance.config))} |"
    yield f"| versions | {', '.join(f'{key} {value}' for key, value in provenance.versions.items())} |"
    for key, value in provenance.validation.items():
        if "/" not in key:
            yield f"| {key} on validation images, as a part of that of the untranslated images | {value:.3f} |"
    for one in scores:
        yield from _score_table(one)
    yield from ("", "## Notes", "", notes.strip())


def _changed(config: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The keys in which a configuration differs from the reference recipe."""
    try:
        found = changed_keys(Config(), Config.model_validate(config, strict=False))
    except ValueError:  # of another version
        return
    for key, (_, value) in found.items():
        if key.partition(".")[0] in ("data", "generator", "discriminator", "losses", "optimizer", "training"):
            yield f"`{key}`", value


def _score_table(scores: Scores) -> Iterator[str]:
    yield from ("", f"## Test images, {scores.direction}", "")
    sets = list(dict.fromkeys(name for row in scores.distances.values() for name in row))
    yield f"| | {' | '.join(sets)} |"
    yield f"| --- |{' ---: |' * len(sets)}"
    rows = scores.distances | {name: {"translated": value} for name, value in scores.content.items()}
    for title, row in rows.items():
        cells = [
            f"{row[one].value:.3f} ({row[one].low:.3f} to {row[one].high:.3f})" if one in row else "" for one in sets
        ]
        yield f"| {title} | {' | '.join(cells)} |"
    protocol = scores.protocol
    images = "; ".join(f"{label}: {text}" for label, text in protocol.images.items())
    yield from ("", f"Images: {images}. Reading: {protocol.preprocessing}. Seed {protocol.seed}.")
    if protocol.extractor:
        yield f"Extractor: {protocol.extractor}, SHA-256 {protocol.extractor_digest}."
