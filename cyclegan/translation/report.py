"""The report of a translation, and `report.json`, the file that it is written to."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclegan.bundles.bundle import Bundle
from cyclegan.errors import CycleganError, UsageError
from cyclegan.runtime.atomic_files import write_atomically
from cyclegan.translation.naming import Job, Naming
from cyclegan.translation.settings import Outcome, Settings

REPORT_FILE = "report.json"

MAKER = ("bundle", "dataset", "step", "weights_sha256", "direction")
"""What the report says of a model that made files of the folder."""


@dataclasses.dataclass
class Report:
    """What became of the images. Each is named by its path below the input folder.

    Attributes:
        translated: images that were translated in this call.
        skipped: images that were not translated again, because their translations existed.
        failed: images that could not be translated, each with its `path` and the `reason` in one line.
        renamed: images whose translation keeps their suffix in its name, because another image would get the same
            name; each with the name of its translation.
        notes: what the user should know about translations, each with the `path` of the image and the `note`.
        images_per_second: the speed from the first to the last image.
    """

    translated: list[str] = dataclasses.field(default_factory=list)
    skipped: list[str] = dataclasses.field(default_factory=list)
    failed: list[dict[str, str]] = dataclasses.field(default_factory=list)
    renamed: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: list[dict[str, str]] = dataclasses.field(default_factory=list)
    images_per_second: float = 0.0

    def add(self, outcome: Outcome, seconds: float) -> None:
        """Adds the outcome of one image, `seconds` after the start of the work."""
        name = outcome.job.name
        if outcome.reason:
            self.failed.append({"path": name, "reason": outcome.reason})
        else:
            self.translated.append(name)
        self.notes += [{"path": name, "note": note.text} for note in outcome.notes]
        self.images_per_second = len(self.translated) / seconds


def new_report(naming: Naming, todo: Sequence[Job]) -> Report:
    """The report before the work: it contains the images that are skipped or renamed, and folders that failed."""
    report = Report(failed=[{"path": str(path), "reason": reason} for path, reason in naming.unlisted])
    names = {job.name for job in todo}
    report.skipped = [job.name for job in naming.jobs if job.name not in names]
    if folder := naming.folder:
        renamed = (job for job in naming.jobs if job.output.stem != job.source.stem)
        report.renamed = {job.name: job.output.relative_to(folder).as_posix() for job in renamed}
    return report


def refuse_foreign_report(folder: Path) -> None:
    """Makes sure that a report may be written into a folder, before the work starts.

    Raises:
        UsageError: if the folder contains a `report.json` that was not written by cyclegan.
    """
    path = folder / REPORT_FILE
    if not os.path.exists(path):
        return
    try:
        is_ours = "images_per_second" in json.loads(path.read_text("utf-8", "replace"))
    except (OSError, ValueError, TypeError):
        is_ours = False
    if not is_ours:
        raise UsageError(
            f"{path} exists and was not written by cyclegan. Move this file, or choose another output folder."
        )


def describe_other_makers(naming: Naming, skipped: Sequence[str], bundle: Bundle, settings: Settings) -> str | None:
    """A line for images that are skipped because another model translated them, or the other direction; None if not.

    Args:
        naming: all images; its output folder may have a report.
        skipped: the images that are skipped.
        bundle: the model that is about to write into the folder.
        settings: its direction counts.
    """
    if not naming.folder:
        return None
    kept, maker = set(skipped), _maker(bundle, settings)
    others = [one for one in _makers(naming.folder) if not kept.isdisjoint(one["images"]) and not _is_same(one, maker)]
    if not others:
        return None
    made_by = "; ".join(f"{one['bundle']}, step {one['step']}, direction {one['direction']}" for one in others)
    return (
        f"Files in {naming.folder} were made by another model ({made_by}), and are kept. --overwrite makes them anew."
    )


def _makers(folder: Path) -> list[dict[str, Any]]:
    """The models that made the files of a folder, from the last one on, each with its `images`, as a report says."""
    try:
        content = json.loads((folder / REPORT_FILE).read_text("utf-8", "replace"))
        earlier = [{key: one[key] for key in (*MAKER, "images")} for one in content.get("earlier_models", [])]
        others = {name for one in earlier for name in one["images"]}
        own = [name for name in [*content["translated"], *content["skipped"]] if name not in others]
        last = {"direction": content["settings"]["direction"]} | content["model"]
        return [{key: last[key] for key in MAKER} | {"images": own}, *earlier]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # there is none, or it is of an earlier version
        return []


def _makers_after(report: Report, folder: Path, maker: dict[str, Any]) -> list[dict[str, Any]]:
    """The models that made the files of a folder after a call. One that made nothing is not among them."""
    before, now = _makers(folder), set(report.translated)
    if before and not now:
        return before
    left = [one | {"images": [name for name in one["images"] if name not in now]} for one in before]
    return [maker | {"images": []}, *(one for one in left if one["images"] and not _is_same(one, maker))]


def _maker(bundle: Bundle, settings: Settings) -> dict[str, Any]:
    provenance = bundle.info.provenance
    values = (str(bundle.folder), provenance.dataset, provenance.step, _digests(bundle), settings.direction)
    return dict(zip(MAKER, values, strict=True))


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("weights_sha256", "direction"))


def write_report(report: Report, naming: Naming, bundle: Bundle, settings: Settings) -> None:
    """Writes `report.json` into the output folder, with the images in the order of `naming`.

    Nothing is written if the output is a single file.

    Raises:
        CycleganError: if the file cannot be written.
    """
    if not naming.folder:
        return
    path = naming.folder / REPORT_FILE
    order = {job.name: number for number, job in enumerate(naming.jobs)}
    report.translated.sort(key=order.__getitem__)
    report.failed.sort(key=lambda entry: order.get(entry["path"], -1))
    last, *earlier = _makers_after(report, naming.folder, _maker(bundle, settings))
    content = {
        **dataclasses.asdict(report),
        "settings": dataclasses.asdict(settings),
        "model": {key: last[key] for key in MAKER},
        "earlier_models": earlier,
    }
    # Bytes of names that are not valid UTF-8 become escapes of JSON.
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        naming.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise CycleganError(f"{path} cannot be written: {error.strerror}. All translations are kept.") from error


def _digests(bundle: Bundle) -> dict[str, str]:
    return {direction: entry.sha256 for direction, entry in bundle.info.weights.items()}
