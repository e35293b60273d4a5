"""The directory of a run: which one it is, whether the run may be continued, and with which configuration.

config.yaml  run.json  images.gz                     what `cyclegan.training.record` keeps
checkpoints/  bundle/last/  samples/  log.txt  and TensorBoard events
teacher/                                             a copy of the bundle from which a distillation learns
"""

import contextlib
import dataclasses
import difflib
import os
import pathlib
import re
from typing import NamedTuple

from cyclegan.bundles.places import find_bundle
from cyclegan.config.config import SAFE_TO_CHANGE, Config, changed_keys
from cyclegan.config.files import as_yaml, default_preset, load_config
from cyclegan.data.named import NAMED
from cyclegan.errors import UsageError
from cyclegan.training.checkpoints import checkpoint_name
from cyclegan.training.length import Length, Session
from cyclegan.training.record import (
    CONFIG_FILE,
    IMAGES_FILE,
    RECORD_FILE,
    RunRecord,
    read_config,
    read_record,
    unwritable,
)

LOCK_FILE = ".lock"
CHECKPOINTS = "checkpoints"
START = checkpoint_name(0)
TEACHER = "teacher"

PLACES_OF_DATA = {"data.dataset", "data.domain_a", "data.domain_b"}
"""The keys that say where the images are."""


SCORED_BY = {"evaluation.metric", "evaluation.features", "evaluation.max_images"}
"""The keys that say how a run is scored."""


class Request(NamedTuple):
    """What a training is asked for, before anything is read.

    Attributes:
        folder: `--run-dir`, or None for the next free number under `runs_dir`.
        runs_dir: where numbered runs go.
        source: the preset or file for `load_config`. None means the preset of the data set, if it has one, for a new
            run, and the stored configuration for a continued run.
        overrides: (dotted key, value) pairs, which are stronger than the source.
    """

    folder: pathlib.Path | None
    runs_dir: pathlib.Path
    source: str | None
    overrides: tuple[tuple[str, object], ...]


class Plan(NamedTuple):
    """A run as it was asked for, before anything is written.

    Attributes:
        folder: the run directory.
        config: the configuration to train with.
        record: the record of the run that is continued; None for a new run. Whether XLA compiles is left open if the
            configuration changes it.
        changes: for each key that a continued run changes, its stored and its new value.
    """

    folder: pathlib.Path
    config: Config
    record: RunRecord | None
    changes: dict[str, tuple[object, object]]


def plan_run(request: Request) -> Plan:
    """Decides whether a run is new or continued, and with which configuration. Writes nothing.

    Raises:
        UsageError: if the directory is not a run, if a continued run is asked to change a key that is not safe, or if
            a directory that does not exist is named without any data to train on.
    """
    folder = request.folder
    if folder is None or not os.path.exists(folder) or is_empty(folder):
        config = _with_absolute_paths(load_config(_source_of_new_run(request), request.overrides))
        return Plan(folder or next_run_directory(request.runs_dir, _dataset_name(config)), config, None, {})

    record = read_record(folder)
    stored = read_config(folder)
    config = _with_absolute_paths(load_config(request.source or str(folder / CONFIG_FILE), request.overrides))
    if config.training.precision == "auto":
        config = with_precision(config, stored.training.precision)
    changes = changed_keys(stored, config)
    # With the schedule plateau, the learning rate follows from the scores of all sessions.
    fixed = SCORED_BY if config.optimizer.schedule == "plateau" else set()
    unsafe = {key: pair for key, pair in changes.items() if key not in SAFE_TO_CHANGE or key in fixed}
    if unsafe:
        listed = ", ".join(
            f"{key} (stored: {as_yaml(old)}, received: {as_yaml(new)})" for key, (old, new) in unsafe.items()
        )
        raise UsageError(
            f"{folder} can only be continued with its own configuration. These keys differ: {listed}."
            " Leave these out, or start a new run with another --run-dir."
        )
    return Plan(folder, config, _with_open_choice(record, changes), changes)


def with_precision(config: Config, precision: str) -> Config:
    """The configuration with a precision that `auto` stands for."""
    return config.model_copy(update={"training": config.training.model_copy(update={"precision": precision})})


def next_run_directory(runs_dir: pathlib.Path, name: str) -> pathlib.Path:
    """`runs_dir/name-N`, where N is above all numbers that are in use."""
    numbers = [0]
    if runs_dir.is_dir():
        for path in runs_dir.iterdir():
            if match := re.fullmatch(re.escape(name) + r"-(\d+)", path.name):
                numbers.append(int(match[1]))
    return runs_dir / f"{name}-{max(numbers) + 1}"


def refuse_unwritable(folder: pathlib.Path) -> None:
    """Makes sure, before anything slow happens, that a run directory can be created or written. Writes nothing.

    Raises:
        UsageError: if it cannot.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise unwritable(folder, "its name is not UTF-8, and TensorFlow writes to no others") from error
    path = folder.absolute()
    nearest = next(one for one in (path, *path.parents) if os.path.exists(one))
    if not nearest.is_dir():
        raise unwritable(folder, f"{nearest} is not a directory")
    if not os.access(nearest, os.W_OK | os.X_OK):
        is_read_only = os.statvfs(nearest).f_flag & os.ST_RDONLY
        raise unwritable(folder, f"{nearest} is read-only" if is_read_only else f"this user may not write to {nearest}")


def refuse_shorter(folder: pathlib.Path, session: Session, length: Length) -> None:
    """Makes sure that a continued run has not already gone past its end.

    Raises:
        UsageError: if it has seen more images than its length asks for, and not for want of whole steps.
    """
    if session.first_sample >= length.num_samples + session.global_batch:
        raise UsageError(
            f"{folder} has done {session.first_step} steps and cannot be made shorter. Received:"
            f" {length.num_steps} steps."
        )


def log_file(folder: pathlib.Path, rank: int) -> pathlib.Path:
    """Where a process logs. The run directory is the chief's, and each of the others has a file of its own in it."""
    if rank == 0:
        return folder / "log.txt"
    with contextlib.suppress(OSError):  # where it cannot be written, the lines are printed only
        folder.mkdir(parents=True, exist_ok=True)  # on a machine that does not share it with the chief
    return folder / f"log-worker-{rank}.txt"


def is_empty(folder: pathlib.Path) -> bool:
    """Whether a run directory holds nothing, except files of a first start that was killed before it wrote run.json."""
    try:
        names = {path.name for path in folder.iterdir() if not path.match(".*.tmp")}
        names -= {name for name in names if name.startswith("log-worker-")}
        # A run from a bundle is saved at step 0 before anything else, and then its teachers are copied.
        if all(path.match(".*.tmp") or path.name == START for path in (folder / CHECKPOINTS).glob("*")):
            names -= {CHECKPOINTS, TEACHER} if CHECKPOINTS in names else set()
    except OSError:  # it is a file, it is gone, or it cannot be listed
        return False
    # The images are written first: a configuration without them is a user's own file, which must not be replaced.
    return names <= ({LOCK_FILE, IMAGES_FILE, CONFIG_FILE} if IMAGES_FILE in names else {LOCK_FILE})


def _with_open_choice(record: RunRecord, changes: dict[str, tuple[object, object]]) -> RunRecord:
    """The record of a continued run, where a changed `training.jit_compile` has to be decided again."""
    if record.compilation is None or "training.jit_compile" not in changes:
        return record
    _, setting = changes["training.jit_compile"]
    if setting == "auto":
        kept = dataclasses.replace(record.compilation, reason="auto keeps what the run has used so far")
        return record.model_copy(update={"compilation": kept})
    return record.model_copy(update={"compilation": None})


def _source_of_new_run(request: Request) -> str | None:
    """The source that was asked for, or else the preset of the data set, if it has one."""
    if request.source:
        return request.source
    values = dict(request.overrides)
    if request.folder and not os.path.exists(request.folder) and not values.keys() & PLACES_OF_DATA:
        raise _no_run_to_continue(request.folder)
    return None if values.get("data.domain_a") else default_preset(str(values.get("data.dataset", "stripes")))


def _no_run_to_continue(folder: pathlib.Path) -> UsageError:
    runs = [path.parent.name for path in folder.parent.glob(f"*/{RECORD_FILE}")]
    nearest = difflib.get_close_matches(folder.name, sorted(runs), n=1)
    question = f" Did you mean {folder.parent / nearest[0]}?" if nearest else ""
    return UsageError(
        f"{folder} does not exist, so there is no run to continue.{question} To start a new run there, give its data"
        " too, such as --dataset stripes."
    )


def _with_absolute_paths(config: Config) -> Config:
    """The same configuration with absolute paths, so that the run can be continued from any directory."""
    data, changes = config.data, {}
    if data.domain_a and data.domain_b:
        changes = {"domain_a": _absolute(data.domain_a), "domain_b": _absolute(data.domain_b)}
    elif data.dataset not in NAMED and os.path.isdir(_absolute(data.dataset)):
        changes = {"dataset": _absolute(data.dataset)}
    update: dict[str, object] = {"data": data.model_copy(update=changes)}
    features = config.evaluation.features
    if features and features not in ("classifier", "inception") and not features.startswith("keras:"):
        file, colon, tensor = features.partition(":")  # FILE.tflite:TENSOR has one
        if os.path.exists(_absolute(file)):
            update["evaluation"] = config.evaluation.model_copy(update={"features": _absolute(file) + colon + tensor})
    teacher = config.distillation.teacher
    with contextlib.suppress(UsageError):  # the name of a model that comes with the program, or an address
        if teacher and find_bundle(_absolute(teacher)):
            update["distillation"] = config.distillation.model_copy(update={"teacher": _absolute(teacher)})
    return config.model_copy(update=update)


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _dataset_name(config: Config) -> str:
    """The part of the name of a run before its number."""
    data = config.data
    paths = [data.domain_a, data.domain_b] if data.domain_a and data.domain_b else [data.dataset]
    name = "2".join(os.path.basename(os.path.normpath(path)) for path in paths)
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name) or "run"
