import contextlib
import os
import pathlib

import pytest

from cyclegan.config.files import load_config
from cyclegan.config.sections import TrainingConfig
from cyclegan.errors import UsageError
from cyclegan.training.length import plan_session, run_length
from cyclegan.training.record import Choice, RunRecord, write_run
from cyclegan.training.run_directory import (
    LOCK_FILE,
    Plan,
    Request,
    next_run_directory,
    plan_run,
    refuse_shorter,
    refuse_unwritable,
)

RECORD = RunRecord(version="1", devices="cpu", num_replicas=1, fingerprint="")


def plan(
    folder: pathlib.Path | None, runs_dir: pathlib.Path, source: str | None, *overrides: tuple[str, object]
) -> Plan:
    return plan_run(Request(folder, runs_dir, source, overrides))


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    write_run(folder, load_config("smoke"), RECORD)
    return folder


def test_numbers_go_on_after_the_highest_and_count_each_name_alone(tmp_path):
    assert next_run_directory(tmp_path, "stripes").name == "stripes-1"
    for name in ("stripes-1", "stripes-10", "stripes-x", "zebras-99"):
        (tmp_path / name).mkdir()
    assert next_run_directory(tmp_path, "stripes").name == "stripes-11"


def test_a_run_is_named_after_its_data(tmp_path):
    def name(*overrides):
        return plan(None, tmp_path, "smoke", *overrides).folder.name

    assert name() == "stripes-1"
    assert name(("data.dataset", "some/my photos/")) == "my_photos-1"
    assert name(("data.domain_a", "x/horses"), ("data.domain_b", "zebras")) == "horses2zebras-1"


def test_the_path_of_features_is_stored_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("net.tflite").touch()

    def stored(features):
        return plan(None, tmp_path, "smoke", ("evaluation.features", features)).config.evaluation.features

    assert stored("net.tflite") == str(tmp_path / "net.tflite")
    assert stored("net.tflite:pool") == str(tmp_path / "net.tflite:pool")
    assert stored("keras:MobileNetV2") == "keras:MobileNetV2" and stored("classifier") == "classifier"


def test_paths_are_stored_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("photos").mkdir()
    planned = plan(None, tmp_path, "smoke", ("data.dataset", "photos"))
    assert planned.config.data.dataset == str(tmp_path / "photos")
    assert plan(None, tmp_path, "smoke").config.data.dataset == "stripes"
    data = plan(None, tmp_path, "smoke", ("data.domain_a", "a"), ("data.domain_b", "photos")).config.data
    assert (data.domain_a, data.domain_b) == (str(tmp_path / "a"), str(tmp_path / "photos"))


def test_the_path_of_a_teacher_is_stored_absolute_but_not_the_name_of_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("zebras", "bundle"):  # zebras is a folder of images, and the name of a model
        pathlib.Path(folder).mkdir()
    pathlib.Path("bundle/bundle.json").touch()

    def stored(teacher):
        return plan(None, tmp_path, "smoke", ("distillation.teacher", teacher)).config.distillation.teacher

    assert stored("bundle") == str(tmp_path / "bundle")
    assert stored("zebras") == "zebras" and stored("hf://owner/name") == "hf://owner/name"


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    data = plan(None, tmp_path, "smoke", ("data.domain_a", "~/a"), ("data.domain_b", "~/b")).config.data
    assert (data.domain_a, data.domain_b) == (str(tmp_path / "a"), str(tmp_path / "b"))


def test_a_directory_whose_name_is_not_utf_8_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be written: its name is not UTF-8"):
        refuse_unwritable(tmp_path / os.fsdecode(b"caf\xe9"))


def test_a_run_without_its_configuration_is_refused(run, tmp_path):
    (run / "config.yaml").unlink()
    with pytest.raises(UsageError) as error:
        plan(run, tmp_path, None)
    assert str(error.value) == (
        f"{run}/config.yaml is missing, so the run cannot be continued. Put the file back, or start a new run with"
        f" --init-from {run}."
    )


def test_a_directory_with_nothing_but_a_lock_is_a_new_run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LOCK_FILE).touch()
    assert plan(folder, tmp_path, "smoke").record is None


@pytest.mark.parametrize("left", [["images.gz"], ["images.gz", "config.yaml", ".0123.4567.tmp"], [".0123.4567.tmp"]])
@pytest.mark.parametrize("checkpoints", [None, [], [".0123.4567.tmp"], ["step-00000000.npz"]])
def test_a_directory_that_a_killed_first_start_has_left_is_a_new_run(tmp_path, left, checkpoints):
    for name in left:
        (tmp_path / name).touch()
    if checkpoints is not None:
        (tmp_path / "checkpoints").mkdir()
        for name in checkpoints:
            (tmp_path / "checkpoints" / name).touch()
    assert plan(tmp_path, tmp_path, "smoke").record is None


def test_a_distillation_that_was_killed_before_its_first_step_is_a_new_run(tmp_path):
    for name in ("checkpoints/step-00000000.npz", "teacher/bundle.json", "images.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        assert plan(tmp_path, tmp_path, "smoke").record is None, name


def test_a_folder_of_a_user_that_is_called_teacher_is_not_a_new_run(tmp_path):
    (tmp_path / "teacher").mkdir()
    with pytest.raises(UsageError, match="it is not a run of cyclegan"):
        plan(tmp_path, tmp_path, "smoke")


def test_a_directory_with_checkpoints_and_no_record_is_not_a_new_run(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-00000010.npz").touch()
    with pytest.raises(UsageError, match="has checkpoints but no run.json"):
        plan(tmp_path, tmp_path, "smoke")


def test_a_directory_with_a_configuration_of_the_user_is_not_a_new_run(tmp_path):
    (tmp_path / "config.yaml").touch()
    with pytest.raises(UsageError, match="it is not a run of cyclegan"):
        plan(tmp_path, tmp_path, "smoke")


def test_a_new_or_empty_directory_is_a_new_run_and_nothing_is_written(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "absent"):
        assert plan(folder, tmp_path, "smoke").record is None
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_run_continues_with_its_stored_configuration(run, tmp_path):
    planned = plan(run, tmp_path, None)
    assert planned.config == load_config("smoke")
    assert planned.record == RECORD
    assert planned.changes == {}


def test_auto_is_the_precision_that_the_first_session_has_chosen(run, tmp_path):
    write_run(run, load_config("smoke", [("training.precision", "mixed_bfloat16")]), RECORD)
    planned = plan(run, tmp_path, None, ("training.precision", "auto"))
    assert planned.config.training.precision == "mixed_bfloat16" and planned.changes == {}


def test_safe_changes_are_taken_and_listed(run, tmp_path):
    planned = plan(run, tmp_path, None, ("training.steps", 50), ("training.log_every_steps", 5))
    assert planned.changes == {"training.steps": (20, 50)}
    assert planned.config.training.steps == 50


@pytest.mark.parametrize(
    ("before", "setting", "after"),
    [
        # XLA fails on another machine, and the error says to set this.
        (Choice(True, True, "0.1 s a step compiled, 0.2 s not"), False, None),
        (Choice(False, False, "too short to gain"), True, None),
        (Choice(False, True, "measured"), "auto", Choice(False, True, "auto keeps what the run has used so far")),
        (None, "auto", None),  # the first session ended before it was decided
    ],
)
def test_whether_xla_compiles_is_open_again_where_true_or_false_is_asked_for(run, tmp_path, before, setting, after):
    stored = load_config("smoke", [("training.jit_compile", "auto" if setting != "auto" else False)])
    write_run(run, stored, RECORD.model_copy(update={"compilation": before}))
    planned = plan(run, tmp_path, None, ("training.jit_compile", setting))
    assert planned.config.training.jit_compile == setting
    assert planned.record.compilation == after


def test_whether_xla_compiles_stays_as_recorded_where_nothing_is_asked_for(run, tmp_path):
    record = RECORD.model_copy(update={"compilation": Choice(True, True, "0.1 s a step compiled, 0.2 s not")})
    write_run(run, load_config("smoke", [("training.jit_compile", "auto")]), record)
    assert plan(run, tmp_path, None, ("training.steps", 50)).record == record


def test_other_changes_are_refused_with_both_values(run, tmp_path):
    with pytest.raises(UsageError) as error:
        plan(run, tmp_path, None, ("generator.filters", 8), ("training.seed", 3), ("training.steps", 50))
    assert "generator.filters (stored: 4, received: 8), training.seed (stored: 0, received: 3)." in str(error.value)
    assert "training.steps" not in str(error.value)


def test_a_directory_that_cannot_be_written_is_refused_before_it_is_tried(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as error:
        refuse_unwritable(tmp_path / "file" / "deep" / "run")
    assert f"cannot be written: {tmp_path / 'file'} is not a directory." in str(error.value)
    refuse_unwritable(tmp_path / "deep" / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("samples", "is_refused"), [(10, False), (11, False), (12, True)])
def test_a_run_that_went_past_its_end_for_want_of_whole_steps_is_not_refused(tmp_path, samples, is_refused):
    """Ten samples, of which a session on two replicas takes two in each step."""
    length = run_length(TrainingConfig(steps=10), 5, 1)
    session = plan_session(length, 9, samples, 2)
    with pytest.raises(UsageError, match="cannot be made shorter") if is_refused else contextlib.nullcontext():
        refuse_shorter(tmp_path, session, length)


def test_a_new_run_takes_the_preset_of_its_data_set_if_there_is_one(tmp_path):
    assert plan(None, tmp_path, None).config == load_config("stripes")
    assert plan(None, tmp_path, None, ("data.dataset", "horse2zebra")).config == load_config("horse2zebra")
    assert plan(None, tmp_path, None, ("data.dataset", "maps")).config == load_config(None, [("data.dataset", "maps")])
    domains = [("data.domain_a", "/a"), ("data.domain_b", "/b")]
    assert plan(None, tmp_path, None, *domains).config == load_config(None, domains)


def test_a_mistyped_run_is_refused_with_the_nearest_run_and_starts_nothing(run, tmp_path):
    with pytest.raises(UsageError) as error:
        plan(tmp_path / "rum", tmp_path, None, ("training.epochs", 300))
    assert str(error.value) == (
        f"{tmp_path / 'rum'} does not exist, so there is no run to continue. Did you mean {run}? To start a new run"
        " there, give its data too, such as --dataset stripes."
    )


@pytest.mark.parametrize(
    ("source", "overrides"),
    [("smoke", []), (None, [("data.dataset", "stripes")]), (None, [("data.domain_a", "/a"), ("data.domain_b", "/b")])],
)
def test_a_directory_that_does_not_exist_is_a_new_run_if_its_data_are_given(tmp_path, source, overrides):
    assert plan(tmp_path / "new", tmp_path, source, *overrides).record is None


def test_a_configuration_that_was_edited_by_hand_is_refused_with_its_keys(run, tmp_path):
    path = run / "config.yaml"
    path.write_text(path.read_text().replace("cycle_weight_a: 10.0", "cycle_weight_a: 5.0"))
    with pytest.raises(UsageError, match=r"losses.cycle_weight_a \(stored: 10.0, received: 5.0\)"):
        plan(run, tmp_path, None)
    path.write_text(
        path.read_text().replace("cycle_weight_a: 5.0", "cycle_weight_a: 10.0").replace("steps: 20", "steps: 30")
    )
    assert plan(run, tmp_path, None).changes == {"training.steps": (20, 30)}
