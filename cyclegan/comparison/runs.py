"""Runs side by side: what they differ in, their scores, and whether these may be compared at all."""

import json
import os
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pydantic

from cyclegan.config.config import Config, changed_keys
from cyclegan.data.inventory import fingerprint
from cyclegan.errors import CycleganError, UsageError, first_line
from cyclegan.evaluation.protocol import Protocol, Scores
from cyclegan.training.history import Entry, read_history
from cyclegan.training.record import read_config, read_inventory, read_record

SCORES_FILE = "scores.json"
"""What `cyclegan evaluate --json RUN/scores.json` has written."""

IMAGES = "validation images"
"""What the scores while training depend on most; the value is a fingerprint, which says nothing to people."""


class Run(NamedTuple):
    """What is compared of a run.

    Attributes:
        name: the name of its directory, made longer where two runs have the same.
        folder: the run directory.
        config: its configuration.
        entries: its scores while it trained, in their order; symptoms are left out.
        validation: what these scores depend on, by names: the images, their size, the extractor, and the seed.
        tested: its scores on test images, as `evaluate` has written them; none if it has not.
    """

    name: str
    folder: pathlib.Path
    config: Config
    entries: tuple[Entry, ...]
    validation: Mapping[str, object]
    tested: tuple[Scores, ...]

    @property
    def best(self) -> Entry | None:
        """The entry with the smallest metric of the run."""
        metric = self.config.evaluation.metric
        known = [entry for entry in self.entries if metric in entry.values]
        return min(known, key=lambda entry: entry.values[metric], default=None)


def read_runs(folders: Sequence[pathlib.Path]) -> list[Run]:
    """Reads what is compared of runs.

    Raises:
        UsageError: if a folder is not a run, or is given twice.
        CycleganError: if a run cannot be read.
    """
    resolved = [folder.resolve() for folder in folders]
    for folder in folders:
        if resolved.count(folder.resolve()) > 1:
            raise UsageError(f"Each run must be given once. Received twice: {folder}.")
    names = [folder.name for folder in resolved]
    if len(set(names)) < len(names):
        common = os.path.commonpath(resolved)
        names = [folder.relative_to(common).as_posix() for folder in resolved]
    return [_read_run(name, folder) for name, folder in zip(names, folders, strict=True)]


def _read_run(name: str, folder: pathlib.Path) -> Run:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not the directory of a run.")
    record, config = read_record(folder), read_config(folder)
    inventory = read_inventory(folder, record)
    held = [image._replace(use="training") for image in inventory if image.use == "validation"]
    validation = {
        IMAGES: fingerprint(held)[:16],
        "size": config.data.crop_size,
        "resize": config.data.resize,
        "features": config.evaluation.features,
        "number of images": config.evaluation.max_images,
    }
    entries = tuple(
        entry for entry in read_history(folder, 2**62) if any(not name.startswith("health/") for name in entry.values)
    )
    return Run(name, folder, config, entries, validation, _read_scores(folder / SCORES_FILE))


def _read_scores(path: pathlib.Path) -> tuple[Scores, ...]:
    if not path.is_file():
        return ()
    try:
        return tuple(Scores.model_validate(content) for content in json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, pydantic.ValidationError) as error:
        raise CycleganError(
            f"{path} cannot be read: {first_line(error)} `cyclegan evaluate --json {path}` writes it again."
        ) from error


def as_yaml(value: object) -> str:
    """A value as a configuration file has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def differences(runs: Sequence[Run]) -> dict[str, list[object]]:
    """The keys in which the configurations of the runs differ, each with its value in every run."""
    keys = {key for run in runs for key in changed_keys(runs[0].config, run.config)}
    found = {}
    for key in sorted(keys):
        section, _, name = key.partition(".")
        found[key] = [getattr(getattr(run.config, section), name) for run in runs]
    return found


def warnings(runs: Sequence[Run]) -> list[str]:
    """Why the scores of the runs must not be compared, a sentence for each reason; none if they may be."""
    found = []
    scored = [run for run in runs if run.entries]
    for key in scored[0].validation if scored else ():
        values = {run.name: run.validation[key] for run in scored}
        if len(set(values.values())) > 1:
            listed = ", ".join(f"{name}: {as_yaml(value)}" for name, value in values.items())
            what = "other validation images" if key == IMAGES else f"{key} ({listed})"
            found.append(f"The scores while training were made in different ways: {what}.")
    protocols = {run.name: _common(run.tested) for run in runs if run.tested}
    first, *others = protocols.items() if protocols else [("", {})]
    for name, protocol in others:
        different = [key for key, value in protocol.items() if first[1].get(key) != value]
        if different:
            found.append(
                f"The scores on test images of {first[0]} and {name} were made by different protocols: they differ in"
                f" {', '.join(different)}."
            )
    return found


def _common(scores: Sequence[Scores]) -> dict[str, Any]:
    """What the scores of a run have in common, without what belongs to the model alone."""
    protocol: Protocol = scores[0].protocol
    content = protocol.model_dump()
    content["images"] = {
        f"{one.direction} {label}": images
        for one in scores
        for label, images in one.protocol.images.items()
        if label == "real test images"
    }
    return content


class Spread(NamedTuple):
    """A score of runs that differ by their seed alone."""

    names: tuple[str, ...]
    mean: float
    deviation: float


def spreads(runs: Sequence[Run], name: str) -> list[Spread]:
    """The mean and the standard deviation of a score at the best step, for each group of runs with several seeds."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.best and name in run.best.values:
            training = run.config.training.model_copy(update={"seed": 0})
            groups.setdefault(run.config.model_copy(update={"training": training}).model_dump_json(), []).append(run)
    found = []
    for group in groups.values():
        if len(group) > 1:
            values = [run.best.values[name] for run in group if run.best]
            names = tuple(run.name for run in group)
            found.append(Spread(names, statistics.mean(values), statistics.stdev(values)))
    return found
