"""Runs side by side: what they differ in, their scores, and whether these may be compared at all."""

import contextlib
import os
import pathlib
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cyclegan.bundles.bundle import load_bundle
from cyclegan.bundles.info import BundleInfo
from cyclegan.bundles.places import WHICH, Which
from cyclegan.config.config import Config, changed_keys
from cyclegan.config.files import as_yaml
from cyclegan.data.inventory import fingerprint
from cyclegan.errors import CycleganError, UsageError
from cyclegan.evaluation.protocol import Scores
from cyclegan.evaluation.scores_file import read_scores
from cyclegan.training.history import Entry, best_of, read_history
from cyclegan.training.record import RECORD_FILE, read_config, read_inventory, read_record

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
        entries: its scores while it trained that were made in the way of the last one, in their order.
        best: the step of its best bundle and its scores, or else the entry with the smallest metric; None for a run
            that was not scored.
        bundles: the steps of its bundles, by "best" and "last".
        validation: what these scores depend on, by names: the images, their size, the extractor, and the seed.
        tested: its scores on test images, as `evaluate` has written them; none if it has not.
        notes: what a reader should know of it, a sentence for each.
    """

    name: str
    folder: pathlib.Path
    config: Config
    entries: tuple[Entry, ...]
    best: Entry | None
    bundles: Mapping[Which, int]
    validation: Mapping[str, object]
    tested: tuple[Scores, ...]
    notes: tuple[str, ...]

    @property
    def protocol(self) -> str:
        """The fingerprint of how its scores were made; empty if it was not scored."""
        return self.entries[-1].protocol if self.entries else ""


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
    if not (folder / RECORD_FILE).is_file():
        raise UsageError(f"{folder} is not the directory of a run: it has no {RECORD_FILE}.")
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
    scored = [entry for entry in read_history(folder, sys.maxsize) if entry.protocol]
    entries = tuple(entry for entry in scored if entry.protocol == scored[-1].protocol)
    notes = []
    if len(entries) < len(scored):
        notes.append(
            f"{name} was scored in several ways, with other images or other features. Shown are the scores that were"
            f" made like the last one, of which the first is that of step {entries[0].step}."
        )
    infos = _read_bundles(folder)
    best, note = _best(name, entries, infos.get("best"), config.evaluation.metric)
    tested, others = _read_tested(folder, infos.values())
    steps = {which: info.provenance.step for which, info in infos.items()}
    return Run(name, folder, config, entries, best, steps, validation, tested, (*notes, *note, *others))


def _read_bundles(folder: pathlib.Path) -> dict[Which, BundleInfo]:
    found = {}
    for which in WHICH:
        with contextlib.suppress(UsageError):
            found[which] = load_bundle(folder, which).info
    return found


def _best(
    name: str, entries: Sequence[Entry], bundle: BundleInfo | None, metric: str
) -> tuple[Entry | None, Sequence[str]]:
    """The best step of a run, and what is to be said of it."""
    best = best_of(entries, metric)
    if best is None:
        return None, ()
    if bundle is None:
        return best, (f"{name} has no best bundle. Step {best.step} scored best.",)
    made = bundle.provenance
    if made.validation_protocol != best.protocol:
        return best, (f"The best bundle of {name}, of step {made.step}, was chosen by other scores than those shown.",)
    value, notes = made.validation.get(metric), []
    if value is None or value > best.values[metric]:
        notes.append(f"The best bundle of {name} is of step {made.step}, but step {best.step} scored better.")
    return Entry(made.step, made.validation, best.protocol), notes


def _read_tested(folder: pathlib.Path, bundles: Iterable[BundleInfo]) -> tuple[tuple[Scores, ...], Sequence[str]]:
    """The scores on test images, and what is to be said of them."""
    path = folder / SCORES_FILE
    again = f"`cyclegan evaluate --model {folder} --json {path}` writes it anew."
    if not path.is_file():
        return (), ()
    try:
        found = read_scores(path)
    except CycleganError as error:
        return (), (f"{error} Remove it; {again}",)
    tested, notes = tuple(one for one in found if one.direction), []
    if len(tested) < len(found):
        notes.append(f"{path} has scores of images that are not of a model. They are left out. {again}")
    known = {weights.sha256 for info in bundles for weights in info.weights.values()}
    if any(one.weights_sha256 and one.weights_sha256 not in known for one in tested):
        notes.append(f"{path} has scores of another model than those that the bundles hold now. {again}")
    return tested, notes


def differences(runs: Sequence[Run]) -> dict[str, list[object]]:
    """The keys in which the configurations of the runs differ, each with its value in every run."""
    keys = {key for run in runs for key in changed_keys(runs[0].config, run.config)}
    found = {}
    for key in sorted(keys):
        section, _, name = key.partition(".")
        found[key] = [getattr(getattr(run.config, section), name) for run in runs]
    return found


def warnings(runs: Sequence[Run]) -> list[str]:
    """What a reader should know of each run, and why their scores must not be compared, a sentence for each."""
    found = [note for run in runs for note in run.notes]
    scored = [run for run in runs if run.entries]
    is_same = len({run.protocol for run in scored}) < 2
    keys = () if is_same else tuple(scored[0].validation)
    num_notes = len(found)
    for key in keys:
        values = {run.name: run.validation[key] for run in scored}
        if len(set(values.values())) > 1:
            listed = ", ".join(f"{name}: {as_yaml(value)}" for name, value in values.items())
            what = "other validation images" if key == IMAGES else f"{key} ({listed})"
            found.append(f"The scores while training were made in different ways: {what}.")
    if keys and len(found) == num_notes:
        found.append("The scores while training were made in different ways: another network, or files that changed.")
    tested = [run for run in runs if run.tested]
    for run in tested[1:]:
        if different := _different(tested[0].tested, run.tested):
            found.append(
                f"The scores on test images of {tested[0].name} and {run.name} were made by different protocols: they"
                f" differ in {', '.join(different)}."
            )
    return found


def _different(some: Sequence[Scores], others: Sequence[Scores]) -> list[str]:
    """In what the protocols of two runs differ, without what belongs to the models, in the directions of both."""
    found = [key for key, value in _common(others[0]).items() if _common(some[0])[key] != value]
    images = [{one.direction: one.protocol.images.get("real test images") for one in each} for each in (some, others)]
    if any(images[0][direction] != images[1][direction] for direction in images[0].keys() & images[1].keys()):
        found.insert(0, "images")
    return found


def _common(scores: Scores) -> dict[str, Any]:
    return scores.protocol.model_dump(exclude={"images"})


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
            key = run.protocol + run.config.model_copy(update={"training": training}).model_dump_json()
            groups.setdefault(key, []).append(run)
    found = []
    for group in groups.values():
        if len(group) > 1:
            values = [run.best.values[name] for run in group if run.best]
            names = tuple(run.name for run in group)
            found.append(Spread(names, statistics.mean(values), statistics.stdev(values)))
    return found
