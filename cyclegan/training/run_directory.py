"""The directory of a run: which one, whether it may be continued, and what it records about itself.

config.yaml   the resolved configuration; feeds back into --config
run.json      what was decided at the start and must not be decided again
checkpoints/  bundle/last/  samples/  log.txt  and TensorBoard events
"""

import fcntl
import json
import os
import pathlib
import re
from collections.abc import Sequence
from typing import IO, Literal, NamedTuple

import pydantic

from cyclegan.config.config import SAFE_TO_CHANGE, Config, changed_keys
from cyclegan.config.files import dump_config, load_config
from cyclegan.data.named import NAMED
from cyclegan.errors import CycleganError, UsageError
from cyclegan.runtime.atomic_files import write_atomically

CONFIG_FILE = "config.yaml"
RECORD_FILE = "run.json"
LOCK_FILE = ".lock"


class RunRecord(pydantic.BaseModel):
    """What `run.json` holds."""

    program: Literal["cyclegan"] = "cyclegan"
    version: str
    devices: str
    num_replicas: int
    num_train_a: int
    num_train_b: int
    jit_compile: bool | None = None
    jit_compile_reason: str | None = None


class Plan(NamedTuple):
    """A run as it was asked for, before anything is written."""

    folder: pathlib.Path
    config: Config
    record: RunRecord | None  # of the run that is continued
    changes: dict[str, tuple[object, object]]  # key -> (stored, now), safe ones only


def plan_run(
    folder: pathlib.Path | None,
    runs_dir: pathlib.Path,
    source: str | None,
    overrides: Sequence[tuple[str, object]],
) -> Plan:
    """Decides whether a run is new or continued, and with which configuration. Writes nothing.

    Args:
        folder: `--run-dir`, or None for the next free number under `runs_dir`.
        runs_dir: where numbered runs go.
        source: preset or file for `load_config`; on a continued run None keeps the stored configuration.
        overrides: (dotted key, value) pairs that win over the source.

    Raises:
        UsageError: if the directory belongs to something else, or a continued run is asked to change what is not safe.
    """
    if folder is None or not folder.exists() or _is_empty(folder):
        config = _with_absolute_paths(load_config(source, overrides))
        return Plan(folder or next_run_directory(runs_dir, _dataset_name(config)), config, None, {})

    record = read_record(folder)
    stored = load_config(str(folder / CONFIG_FILE))
    config = _with_absolute_paths(load_config(source or str(folder / CONFIG_FILE), overrides))
    changes = changed_keys(stored, config)
    unsafe = {key: pair for key, pair in changes.items() if key not in SAFE_TO_CHANGE}
    if unsafe:
        listed = ", ".join(f"{key} (stored: {old}, received: {new})" for key, (old, new) in unsafe.items())
        raise UsageError(
            f"{folder} can only be continued with its own configuration. Differing: {listed}."
            " Leave these out, or start a new run with another --run-dir."
        )
    return Plan(folder, config, record, changes)


def next_run_directory(runs_dir: pathlib.Path, name: str) -> pathlib.Path:
    """`runs_dir/name-N` with the next number that no run has had."""
    numbers = [0]
    if runs_dir.is_dir():
        for path in runs_dir.iterdir():
            if match := re.fullmatch(re.escape(name) + r"-(\d+)", path.name):
                numbers.append(int(match[1]))
    return runs_dir / f"{name}-{max(numbers) + 1}"


def read_record(folder: pathlib.Path) -> RunRecord:
    """The record of an existing run.

    Raises:
        UsageError: if `folder` is not a run directory.
    """
    if not folder.is_dir():
        raise UsageError(f"`--run-dir` must be a directory. Received: {folder}, which is a file.")
    try:
        return RunRecord.model_validate(json.loads((folder / RECORD_FILE).read_text()))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{folder} is not empty and not a run of cyclegan (no valid {RECORD_FILE})."
            " Give a new or empty directory, or one that `cyclegan train` has written."
        ) from error


def write_run(folder: pathlib.Path, config: Config, record: RunRecord) -> None:
    """Writes the configuration and the record of a run.

    Raises:
        UsageError: if it cannot be written.
    """
    is_new = not (folder / RECORD_FILE).exists()
    try:
        write_atomically(folder / CONFIG_FILE, dump_config(config).encode())
        write_atomically(folder / RECORD_FILE, record.model_dump_json(indent=2).encode() + b"\n")
    except OSError as error:
        if is_new:
            (folder / CONFIG_FILE).unlink(missing_ok=True)  # without a record it would be no run, and not empty
        raise _unwritable(folder, error) from error


def lock_run(folder: pathlib.Path) -> IO[str]:
    """Creates the run directory and keeps a second process from training in it, until the returned file is closed.

    Raises:
        UsageError: if it cannot be written.
        CycleganError: if another process is training there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK_FILE).open("w")
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise CycleganError(
            f"Another process is training in {folder}. Wait for it, or use another --run-dir."
        ) from error
    return file


def _is_empty(folder: pathlib.Path) -> bool:
    # A start that failed leaves its lock, and must not keep the next one out.
    return folder.is_dir() and all(path.name == LOCK_FILE for path in folder.iterdir())


def _unwritable(folder: pathlib.Path, error: OSError) -> UsageError:
    return UsageError(f"The run directory {folder} cannot be written: {error.strerror}. Choose another with --run-dir.")


def _with_absolute_paths(config: Config) -> Config:
    """A run must find its images whatever directory it is continued from."""
    data, changes = config.data, {}
    if data.domain_a and data.domain_b:
        changes = {"domain_a": _absolute(data.domain_a), "domain_b": _absolute(data.domain_b)}
    elif data.dataset not in NAMED and os.path.isdir(_absolute(data.dataset)):
        changes = {"dataset": _absolute(data.dataset)}
    return config.model_copy(update={"data": data.model_copy(update=changes)})


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _dataset_name(config: Config) -> str:
    """The part of a run's name before the number."""
    data = config.data
    paths = [data.domain_a, data.domain_b] if data.domain_a and data.domain_b else [data.dataset]
    name = "2".join(os.path.basename(os.path.normpath(path)) for path in paths)
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name) or "run"
