import errno
import json
import os
import pathlib

import pytest

from cyclegan.config.files import load_config
from cyclegan.data.inventory import TrainingImage, fingerprint
from cyclegan.errors import CycleganError, UsageError
from cyclegan.training.record import RunRecord, read_inventory, read_record, write_run

INVENTORY = (TrainingImage("a", "1.png", 10, "training"), TrainingImage("b", "2.png", 20, "training"))
RECORD = RunRecord(version="1", devices="cpu", num_replicas=1, fingerprint=fingerprint(INVENTORY))


@pytest.fixture
def run(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "run"
    folder.mkdir()
    write_run(folder, load_config("smoke"), RECORD, INVENTORY)
    return folder


def edit(folder: pathlib.Path, **changes: object) -> None:
    content = json.loads((folder / "run.json").read_text()) | changes
    (folder / "run.json").write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_record_and_images_come_back(run):
    assert read_record(run) == RECORD
    assert read_inventory(run, RECORD) == INVENTORY


def test_the_images_of_the_first_session_stay(run):
    write_run(run, load_config("smoke", [("training.steps", 50)]), RECORD)
    assert load_config(str(run / "config.yaml")).training.steps == 50
    assert read_inventory(run, RECORD) == INVENTORY


def test_directories_of_other_programs_and_files_are_refused(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="not a run of cyclegan"):
        read_record(tmp_path / "thesis")
    with pytest.raises(UsageError, match="which is a file"):
        read_record(tmp_path / "file")
    for content in ('{"program": "other", "version": "1", "schema_version": 9}', "[]", "", "[" * 100_000):
        (tmp_path / "thesis" / "run.json").write_text(content)
        with pytest.raises(UsageError, match="run.json is damaged, or it was not written by cyclegan"):
            read_record(tmp_path / "thesis")


def test_a_run_of_a_newer_version_is_refused_even_if_its_keys_are_unknown(run):
    edit(run, schema_version=3, version="9.1.0", num_replicas="all of them")
    with pytest.raises(UsageError) as error:
        read_record(run)
    assert str(error.value) == f"{run} belongs to cyclegan 9.1.0, which is newer than this program. Update cyclegan."


def test_a_run_of_an_earlier_version_is_refused_with_the_way_to_go_on(run):
    edit(run, schema_version=None, version="0.1.0")
    with pytest.raises(UsageError) as error:
        read_record(run)
    assert str(error.value) == (
        f"{run} was begun by cyclegan 0.1.0, and this version cannot continue it. Continue it with that version, or"
        f" start a new run from its generators with --init-from {run}."
    )


@pytest.mark.parametrize("version", ["2", 2.5, [2]])
def test_a_schema_version_that_is_not_a_number_is_not_valid(run, version):
    edit(run, schema_version=version)
    with pytest.raises(UsageError, match="run.json is damaged"):
        read_record(run)


def test_a_missing_list_of_images_is_refused(run):
    (run / "images.gz").unlink()
    with pytest.raises(CycleganError) as error:
        read_inventory(run, RECORD)
    assert str(error.value) == (
        f"{run}/images.gz cannot be read: No such file or directory. Put the file back, or start a new run with"
        f" --init-from {run}."
    )


@pytest.mark.parametrize("part", [slice(0, 30), slice(5, None)])
def test_a_damaged_list_of_images_is_refused(run, part):
    data = (run / "images.gz").read_bytes()
    (run / "images.gz").write_bytes(data[part])
    with pytest.raises(CycleganError, match=r"images.gz cannot be read: it is damaged\."):
        read_inventory(run, RECORD)


def test_an_empty_list_of_images_is_refused(run):
    (run / "images.gz").write_bytes(b"")
    with pytest.raises(CycleganError, match=r"images.gz cannot be read: it does not fit run.json\."):
        read_inventory(run, RECORD)


def test_the_list_of_another_run_is_refused(run):
    with pytest.raises(CycleganError, match=r"images.gz cannot be read: it does not fit run.json\."):
        read_inventory(run, RECORD.model_copy(update={"fingerprint": fingerprint(INVENTORY[:1])}))


@pytest.mark.parametrize("is_new", [True, False])
def test_a_full_disk_sends_nobody_who_continues_to_another_directory(run, monkeypatch, is_new):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if is_new:
        (run / "run.json").unlink()
    monkeypatch.setattr("cyclegan.training.record.write_atomically", full)
    with pytest.raises(CycleganError, match="No space left on device") as error:
        write_run(run, load_config("smoke"), RECORD, INVENTORY)
    assert ("Choose another with --run-dir" in str(error.value)) == is_new
    assert ("Remove the cause, then continue it again." in str(error.value)) != is_new
    assert error.value.exit_code == (2 if is_new else 1)
