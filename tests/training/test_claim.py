"""Processes that start at once, in one directory or side by side. Pipes are their only clock."""

import contextlib
import errno
import fcntl
import pathlib
import subprocess
import sys

import pytest

from cyclegan.config.files import load_config
from cyclegan.errors import CycleganError, UsageError
from cyclegan.training.claim import claim_run
from cyclegan.training.record import RunRecord, write_run
from cyclegan.training.run_directory import Request, plan_run

RECORD = RunRecord(version="1", devices="cpu", num_replicas=1, fingerprint="")

# Plans, waits for a line, claims, says what it has, waits for a line, writes the run.
START = """
import pathlib, sys
from cyclegan.errors import CycleganError
from cyclegan.training.claim import claim_run
from cyclegan.training.record import RunRecord, write_run
from cyclegan.training.run_directory import Request, plan_run

folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
request = Request(folder, pathlib.Path(sys.argv[1]), "smoke", ())
plan = plan_run(request)
print("planned", flush=True)
sys.stdin.readline()
try:
    with claim_run(request, plan, print) as claim:
        plan = claim.plan
        print("claimed", plan.folder.name, flush=True)
        sys.stdin.readline()
        record = RunRecord(version="1", devices="cpu", num_replicas=1, fingerprint="")
        write_run(plan.folder, plan.config, record)
except CycleganError as error:
    print("refused", error, flush=True)
"""


class Process:
    """A process that starts a run, one stage after the other."""

    def __init__(self, *arguments: pathlib.Path):
        command = [sys.executable, "-c", START, *map(str, arguments)]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def go_on(self) -> None:
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def says(self) -> str:
        return self.popen.stdout.readline().rstrip()


@pytest.fixture
def start():
    """Starts a process, which has planned its run when it is returned."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: pathlib.Path) -> Process:
            process = Process(*arguments)
            stack.enter_context(process.popen)
            stack.callback(process.popen.kill)
            assert process.says() == "planned"
            return process

        yield start


def request(tmp_path: pathlib.Path, folder: pathlib.Path | None = None) -> Request:
    return Request(folder, tmp_path / "runs", "smoke", ())


def test_processes_that_start_at_once_get_numbers_of_their_own(start, tmp_path):
    processes = [start(tmp_path / "runs") for _ in range(3)]
    for process in processes:
        process.go_on()
    assert sorted(process.says() for process in processes) == [f"claimed stripes-{number}" for number in (1, 2, 3)]


def test_one_of_two_processes_gets_a_directory_and_the_other_is_kept_out(start, tmp_path):
    processes = [start(tmp_path, tmp_path / "run") for _ in range(2)]
    for process in processes:
        process.go_on()
    claimed, refused = sorted(process.says() for process in processes)
    assert claimed == "claimed run"
    assert refused.startswith(f"refused Another process is training in {tmp_path / 'run'}.")


def test_a_process_that_comes_after_another_has_started_and_ended_is_refused(start, tmp_path):
    early, late = (start(tmp_path, tmp_path / "run") for _ in range(2))
    early.go_on()
    assert early.says() == "claimed run"
    early.go_on()
    assert early.popen.wait(timeout=60) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    late.go_on()
    assert late.says() == (
        f"refused Another process has changed {tmp_path / 'run'} since this one read it. Run the command again."
    )
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_run_whose_configuration_has_changed_meanwhile_is_not_continued(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    write_run(folder, load_config("smoke"), RECORD)
    asked = Request(folder, tmp_path, None, ())
    plan = plan_run(asked)
    write_run(folder, load_config("smoke", [("training.steps", 99)]), RECORD)
    with pytest.raises(CycleganError, match="has changed"), claim_run(asked, plan, pytest.fail):
        pytest.fail("claimed")


@pytest.mark.parametrize("error", [CycleganError("no memory"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_a_start_that_fails_leaves_nothing_that_it_made(tmp_path, error):
    for folder in (None, tmp_path / "deep" / "run"):
        asked = request(tmp_path, folder)
        with pytest.raises(type(error)), claim_run(asked, plan_run(asked), pytest.fail):
            raise error
        assert not list(tmp_path.iterdir())


def test_a_start_that_fails_leaves_the_empty_directory_that_it_was_given(tmp_path):
    (tmp_path / "run").mkdir()
    asked = request(tmp_path, tmp_path / "run")
    with pytest.raises(CycleganError), claim_run(asked, plan_run(asked), pytest.fail):
        raise CycleganError("no memory")
    assert list(tmp_path.rglob("*")) == [tmp_path / "run"]


def test_a_start_that_fails_later_leaves_what_it_has_written(tmp_path):
    asked = request(tmp_path)
    with pytest.raises(CycleganError), claim_run(asked, plan_run(asked), pytest.fail) as claim:
        write_run(claim.plan.folder, claim.plan.config, RECORD)
        raise CycleganError("no memory")
    assert plan_run(Request(tmp_path / "runs" / "stripes-1", tmp_path, None, ())).record == RECORD


def test_a_process_that_was_kept_out_gets_in_when_the_first_is_done(start, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    write_run(folder, load_config("smoke"), RECORD)
    asked = Request(folder, tmp_path, None, ())
    process = start(tmp_path, folder)
    process.go_on()
    assert process.says() == "claimed run"
    with pytest.raises(CycleganError, match="Another process is training"), claim_run(asked, plan_run(asked), print):
        pytest.fail("claimed")
    process.go_on()
    assert process.popen.wait(timeout=60) == 0
    with claim_run(asked, plan_run(asked), pytest.fail):
        pass


def test_a_directory_that_was_moved_is_held_again(start, tmp_path):
    asked = request(tmp_path, tmp_path / "run")
    with claim_run(asked, plan_run(asked), pytest.fail) as claim:
        (tmp_path / "run").rename(tmp_path / "moved")
        assert not claim.renew("1")
        assert not claim.renew("1")
        other = start(tmp_path, tmp_path / "run")
        other.go_on()
        assert other.says().startswith(f"refused Another process is training in {tmp_path / 'run'}.")


def test_a_directory_that_was_moved_and_that_another_process_took_is_not_held(start, tmp_path):
    asked = request(tmp_path, tmp_path / "run")
    with claim_run(asked, plan_run(asked), pytest.fail) as claim:
        (tmp_path / "run").rename(tmp_path / "moved")
        other = start(tmp_path, tmp_path / "run")
        other.go_on()
        assert other.says() == "claimed run"
        with pytest.raises(CycleganError, match="Another process is training"):
            claim.renew("1")


def test_what_was_put_in_the_place_of_a_directory_is_left_alone_each_time(tmp_path):
    asked = request(tmp_path, tmp_path / "run")
    with claim_run(asked, plan_run(asked), pytest.fail) as claim:
        (tmp_path / "run").rename(tmp_path / "moved")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "config.yaml").write_text("of the user")
        assert claim.renew("1") and claim.renew("1")
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.yaml"]


def test_a_copy_of_the_directory_and_a_deleted_lock_are_held_again(tmp_path):
    asked = request(tmp_path, tmp_path / "run")
    with claim_run(asked, plan_run(asked), pytest.fail) as claim:
        write_run(tmp_path / "run", claim.plan.config, RECORD.model_copy(update={"run_id": "1"}))
        (tmp_path / "run" / ".lock").unlink()
        assert not claim.renew("1")
        assert (tmp_path / "run" / ".lock").exists()


def test_a_claim_that_could_not_be_renewed_once_is_renewed_later(tmp_path):
    asked = request(tmp_path, tmp_path / "deep" / "run")
    with claim_run(asked, plan_run(asked), pytest.fail) as claim:
        (tmp_path / "deep").rename(tmp_path / "moved")
        (tmp_path / "deep").write_text("a file, as where a mount is away")
        with pytest.raises(UsageError, match="cannot be written"):
            claim.renew("1")
        (tmp_path / "deep").unlink()
        assert not claim.renew("1")
        assert (tmp_path / "deep" / "run" / ".lock").exists()


def test_a_directory_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "runs").symlink_to(tmp_path / "nowhere" / "deep")
    for folder in (None, tmp_path / "runs" / "run"):
        asked = request(tmp_path, folder)
        with pytest.raises(UsageError, match="cannot be written"), claim_run(asked, plan_run(asked), pytest.fail):
            pytest.fail("claimed")


def without_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A file system that answers each request for a lock with this error."""

    def flock(*_: object) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EIO])
def test_a_file_system_without_locks_is_named_with_the_way_to_go_on(monkeypatch, tmp_path, number):
    without_locks(monkeypatch, number)
    asked = request(tmp_path)
    with pytest.raises(CycleganError) as error, claim_run(asked, plan_run(asked), pytest.fail):
        pytest.fail("claimed")
    assert str(error.value) == (
        f"{tmp_path}/runs/stripes-1 cannot be locked against a second training: no locks here. Use another --run-dir,"
        " or set the environment variable CYCLEGAN_LOCK=off and make sure that no other process trains there."
    )
    assert not list(tmp_path.iterdir())


def test_without_locks_a_line_says_so_and_the_run_starts(monkeypatch, tmp_path):
    without_locks(monkeypatch, errno.ENOLCK)
    monkeypatch.setenv("CYCLEGAN_LOCK", "off")
    lines: list[str] = []
    asked = request(tmp_path)
    with claim_run(asked, plan_run(asked), lines.append) as claim:
        write_run(claim.plan.folder, claim.plan.config, RECORD)
    assert lines == [f"CYCLEGAN_LOCK=off: nothing keeps a second training out of {tmp_path}/runs/stripes-1."]
    assert not (tmp_path / "runs" / "stripes-1" / ".lock").exists()
