"""What a run keeps about itself, so that a later session can continue it.

config.yaml   the resolved configuration, which `--config` reads again
run.json      the decisions of the first session, which must not be made again, and the configuration once more
images.gz     the training images of the first session, see `cyclegan.data.inventory`
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from typing import Final, Literal

import pydantic

from cyclegan.config.config import Config
from cyclegan.config.files import dump_config
from cyclegan.data.inventory import Inventory, decode_inventory, encode_inventory, fingerprint
from cyclegan.data.named import NAMED
from cyclegan.errors import CycleganError, UsageError, first_line
from cyclegan.runtime.atomic_files import write_atomically

CONFIG_FILE = "config.yaml"
RECORD_FILE = "run.json"
IMAGES_FILE = "images.gz"

SCHEMA_VERSION: Final = 2
"""The version of a run directory. It rises when this program cannot continue runs of the versions before it."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """Whether XLA compiles the gradients and the update, and the reason, as part of a sentence."""

    gradients: bool
    update: bool
    reason: str


class RunRecord(pydantic.BaseModel):
    """The content of `run.json`.

    `fingerprint` is that of the training images; no two runs have the same `run_id`; `rollbacks` counts how often the
    run has gone back because it was ill; `teachers` has the SHA-256 of the weights from which a distillation learns.
    """

    program: Literal["cyclegan"] = "cyclegan"
    schema_version: Literal[2] = SCHEMA_VERSION
    run_id: str = ""
    version: str
    devices: str
    num_replicas: int
    fingerprint: str
    compilation: Choice | None = None
    rollbacks: int = 0
    teachers: dict[str, str] = {}


def read_record(folder: pathlib.Path) -> RunRecord:
    """The record of an existing run.

    Raises:
        UsageError: if `folder` is not a run directory, if another version of the program has to continue it, or if
            the record is damaged.
        CycleganError: if the record cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"`--run-dir` must be a directory. Received: {folder}, which is a file.")
    path = folder / RECORD_FILE
    try:
        content = json.loads(path.read_text())
        _refuse_other_schema(folder, content)
        return RunRecord.model_validate(content)
    except FileNotFoundError as error:
        if (folder / "checkpoints").is_dir():
            raise UsageError(
                f"{folder} has checkpoints but no {RECORD_FILE}, without which nobody knows what they are of. Put it"
                f" back, or start a new run in another directory; with --init-from {folder} it takes the generators, if"
                " the bundle is there."
            ) from error
        raise UsageError(
            f"{folder} is not empty, and it is not a run of cyclegan: it has no {RECORD_FILE}."
            " Give a new or empty directory, or one that `cyclegan train` has written."
        ) from error
    except OSError as error:
        raise CycleganError(f"{path} cannot be read: {error.strerror or first_line(error)}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is damaged, or it was not written by cyclegan. Put the file back, or start a new run with another"
            f" --run-dir; if {folder} has a bundle, --init-from {folder} takes its generators."
        ) from error


def holds_run(folder: pathlib.Path, record: RunRecord) -> bool:
    """Whether a directory has all three files of a run, and its record is this one."""
    try:
        return read_record(folder) == record and all((folder / name).exists() for name in (CONFIG_FILE, IMAGES_FILE))
    except (CycleganError, OSError):
        return False


def is_run(folder: pathlib.Path, run_id: str) -> bool | None:
    """Whether a directory has the record of this run; None if it has no record that can be read."""
    try:
        return read_record(folder).run_id == run_id
    except (CycleganError, OSError):
        return None


def read_config(folder: pathlib.Path) -> Config:
    """The configuration that a run was last continued with, as `run.json` has it.

    config.yaml says the same, unless somebody has edited it.

    Raises:
        UsageError: if config.yaml is missing, or the configuration in `run.json` is damaged.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        raise UsageError(
            f"{path} is missing, so the run cannot be continued. Put the file back, or start a new run with --init-from"
            f" {folder}."
        )
    try:
        return Config.model_validate_json(json.dumps(json.loads((folder / RECORD_FILE).read_text())["config"]))
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"{folder / RECORD_FILE} has no configuration that can be read. Put the file back, or start a new run with"
            f" --init-from {folder}."
        ) from error


def run_of(bundle: pathlib.Path) -> pathlib.Path | None:
    """The run to which a bundle belongs, because it lies in the folder `bundle` of the run; None if there is none."""
    run = bundle.parent.parent
    return run if bundle.parent.name == "bundle" and (run / RECORD_FILE).is_file() else None


def places_of(bundle: pathlib.Path, dataset: str) -> dict[str, str]:
    """Where the images are that a bundle was trained on: `data.dataset`, or `data.domain_a` and `data.domain_b`.

    Args:
        bundle: the folder of the bundle.
        dataset: the name of the data set in the bundle.

    Returns:
        Keys of the configuration and their values; none if the bundle is not in its run and its data set has no name
        that this program knows.
    """
    if run := run_of(bundle):
        data = read_config(run).data
        if data.domain_a and data.domain_b:
            return {"data.domain_a": data.domain_a, "data.domain_b": data.domain_b}
        return {"data.dataset": data.dataset}
    return {"data.dataset": dataset} if dataset in NAMED else {}


def read_inventory(folder: pathlib.Path, record: RunRecord) -> Inventory:
    """The training images of the first session of a run.

    Raises:
        UsageError: if the file is missing or damaged.
    """
    try:
        inventory = decode_inventory((folder / IMAGES_FILE).read_bytes())
        problem = None if fingerprint(inventory) == record.fingerprint else f"it does not fit {RECORD_FILE}"
    except (OSError, ValueError, TypeError) as error:
        problem = getattr(error, "strerror", None) or "it is damaged"
    if problem:
        raise UsageError(
            f"{folder / IMAGES_FILE} cannot be read: {problem}. Put the file back, or start a new run with"
            f" --init-from {folder}."
        )
    return inventory


def write_run(folder: pathlib.Path, config: Config, record: RunRecord, inventory: Inventory | None = None) -> None:
    """Writes the configuration and the record of a run, and creates the directory if it is not there.

    Args:
        folder: the run directory.
        config: the configuration.
        record: the record.
        inventory: the training images; None leaves the file as it is.

    Raises:
        UsageError: if a new run cannot be written there.
        CycleganError: if a run that exists cannot be written.
    """
    is_new = not (folder / RECORD_FILE).exists()
    try:
        os.makedirs(os.path.realpath(folder), exist_ok=True)  # it can be a link to a directory that is gone
        if inventory is not None:
            write_atomically(folder / IMAGES_FILE, encode_inventory(inventory))
        write_atomically(folder / CONFIG_FILE, dump_config(config).encode())
        content = record.model_dump(mode="json") | {"config": config.model_dump(mode="json")}
        write_atomically(folder / RECORD_FILE, json.dumps(content, indent=2).encode() + b"\n")
    except OSError as error:
        if is_new:  # a folder with one of these files alone could not be used again
            for name in (CONFIG_FILE, IMAGES_FILE):
                with contextlib.suppress(OSError):
                    (folder / name).unlink()
            raise unwritable(folder, error.strerror) from error
        raise CycleganError(
            f"The run directory {folder} cannot be written: {error.strerror}. Remove the cause, then continue it again."
        ) from error


def unwritable(folder: pathlib.Path, reason: str | None) -> UsageError:
    """The error for a run directory that cannot be written."""
    return UsageError(f"The run directory {folder} cannot be written: {reason}. Choose another with --run-dir.")


def _refuse_other_schema(folder: pathlib.Path, content: object) -> None:
    """Refuses the record of a run that another version of the program has to continue."""
    if not isinstance(content, dict) or content.get("program") != "cyclegan":
        return
    schema, version = content.get("schema_version", 1), content.get("version")
    if not isinstance(schema, int):
        return
    if schema > SCHEMA_VERSION:
        raise UsageError(f"{folder} belongs to cyclegan {version}, which is newer than this program. Update cyclegan.")
    if schema < SCHEMA_VERSION:
        raise UsageError(
            f"{folder} was begun by cyclegan {version}, and this version cannot continue it. Continue it with that"
            f" version, or start a new run from its generators with --init-from {folder}."
        )
