"""A bundle to give to others: half the size, with a card that says where it comes from and what it is worth."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cyclegan.bundles.bundle import Bundle, load_bundle, write_bundle
from cyclegan.bundles.info import BundleInfo, Direction
from cyclegan.bundles.places import CARD_FILE, INFO_FILE
from cyclegan.config.config import Config, changed_keys
from cyclegan.errors import CycleganError, UsageError
from cyclegan.evaluation.protocol import Scores
from cyclegan.networks.weights import weight_arrays
from cyclegan.runtime.atomic_files import write_atomically

NOT_STATED = "Nobody has said yet which licence the training images have, or what the model cannot do."

_NOTES = "## Notes"
_SUMMARY = {
    1: "A generator that translates images into another domain.",
    2: "A pair of generators that translate images between two domains.",
}


def pack_bundle(
    bundle: Bundle, folder: pathlib.Path, name: str, scores: Sequence[Scores] = (), notes: str | None = None
) -> None:
    """Writes a bundle whose weights have 16 bits, and its card.

    A generator that is loaded from it computes in float32 as before; its weights are rounded to 11 significant bits.

    Args:
        bundle: the trained model.
        folder: a new or empty folder, or one that was packed before.
        name: the name of the model, for its card.
        scores: of the test images, for its card, which takes those of this bundle.
        notes: Markdown for its card: the licence of the data, the cost of the training, what the model cannot do. None
            keeps those that somebody has written into the card in the folder.

    Raises:
        UsageError: if the folder holds something else, or if no score is of this bundle.
        CycleganError: if a weight has no value of 16 bits, or if something cannot be written.
    """
    _refuse_others(folder, bundle)
    own = [one for one in scores if one.weights_sha256 == bundle.info.digests.get(one.direction)]
    if scores and not own:
        raise UsageError(
            f"The scores must be those of the bundle that is packed, {bundle.folder}. Received: scores of other models"
            " or of images."
        )
    weights: dict[Direction, Mapping[str, np.ndarray]] = {}
    for direction in bundle.info.weights:
        with np.errstate(over="ignore"):  # it is looked for
            arrays = {key: each.astype(np.float16) for key, each in weight_arrays(bundle.generator(direction)).items()}
        weights[direction] = arrays
        large = [key for key, array in arrays.items() if not np.isfinite(array).all()]
        if large:
            raise CycleganError(f"The weight `{large[0]}` of generator_{direction} is too large for 16 bits.")
    try:
        card = "\n".join(_card(name, bundle.info, own, notes or read_notes(folder) or NOT_STATED))
        write_bundle(folder, weights, bundle.info)
        write_atomically(folder / CARD_FILE, f"{card}\n".encode())
        named = {file.file for file in load_bundle(folder).info.weights.values()}
        for path in folder.glob("generator_*.npz"):  # of the bundle that was replaced
            if path.name not in named:
                path.unlink()
    except OSError as error:
        raise CycleganError(f"{folder} cannot be written: {error.strerror}.") from error


def read_notes(folder: pathlib.Path) -> str | None:
    """The notes on the card of a packed bundle; None if it has no card, or if nobody has written any."""
    try:
        notes = (folder / CARD_FILE).read_text("utf-8").partition(f"\n{_NOTES}\n")[2].strip()
    except (OSError, UnicodeDecodeError):
        return None
    return notes if notes != NOT_STATED else None


def _refuse_others(folder: pathlib.Path, bundle: Bundle) -> None:
    """Refuses to pack a bundle into a folder that holds anything but one that was packed before."""
    is_new = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    is_packed = (folder / INFO_FILE).is_file() and (folder / CARD_FILE).is_file()
    if not is_new and (not is_packed or folder.resolve() == bundle.folder.resolve()):
        raise UsageError(
            "The output must be a new or empty folder, or a bundle that was packed before, and not the one to pack."
            f" Received: {folder}."
        )


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
    yield from (f"# {name}", "", _SUMMARY[len(info.weights)], "")
    for direction in sorted(info.weights):
        yield f"    cyclegan translate photos/ translated/ --model {name} --direction {direction}"
    yield from ("", "## Training", "", "| | |", "| --- | --- |")
    yield f"| data set | {provenance.dataset}, fingerprint {provenance.fingerprint[:16] or 'unknown'} |"
    yield f"| steps | {provenance.step:,} at {info.crop_size} pixels |"
    yield f"| changed settings | {', '.join(f'{key} {value}' for key, value in _changed(provenance.config))} |"
    yield f"| versions | {', '.join(f'{key} {value}' for key, value in provenance.versions.items())} |"
    for key, value in provenance.validation.items():
        if "/" not in key:
            yield f"| {key} on validation images, as a part of that of the untranslated images | {value:.3f} |"
    for one in scores:
        yield from _score_table(one)
    yield from ("", _NOTES, "", notes.strip())


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
