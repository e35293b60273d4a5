import concurrent.futures
import io
import threading

import pytest
import rich.console

from cyclegan.config.files import load_config
from cyclegan.data.inventory import TrainingImage, fingerprint
from cyclegan.errors import CycleganError, UsageError
from cyclegan.training.record import RunRecord, holds_run, write_run
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import Plan
from cyclegan.training.securing import Displaced, securing

IMAGES = (TrainingImage("a", "1.png", 7, "training"), TrainingImage("b", "2.png", 8, "training"))
RECORD = RunRecord(run_id="1", version="1", devices="cpu", num_replicas=1, fingerprint=fingerprint(IMAGES))
CONFIG = load_config("smoke")


@pytest.fixture
def secure(tmp_path):
    """Makes the function for a run in `tmp_path / "run"`, and the text that it has printed."""

    def build(renew=lambda run_id: False):
        progress = Progress(rich.console.Console(file=output, width=500))
        return securing(Plan(tmp_path / "run", CONFIG, None, {}), RECORD, IMAGES, progress, renew)

    output = io.StringIO()
    return build, output


def test_a_run_that_is_whole_is_left_alone(secure, tmp_path):
    build, output = secure
    write_run(tmp_path / "run", CONFIG, RECORD, IMAGES)
    build()()
    assert not output.getvalue()


def test_two_threads_create_a_directory_once(secure, tmp_path):
    """The thread that saves asks too, and would take the claim that the other one is renewing for a stranger's."""
    build, output = secure
    inside, worst = [0], [0]

    def renew(run_id):
        inside[0] += 1
        worst[0] = max(worst[0], inside[0])
        meeting.wait(0.2) if inside[0] == 1 else meeting.set()
        inside[0] -= 1
        return False

    meeting, ask = threading.Event(), build(renew)
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: ask(), range(2)))
    assert worst == [1] and output.getvalue().count("was deleted or moved") == 1


def test_a_directory_that_is_gone_is_created_again_also_behind_a_link(secure, tmp_path):
    build, output = secure
    (tmp_path / "run").symlink_to(tmp_path / "scratch" / "run")
    build()()
    assert holds_run(tmp_path / "scratch" / "run", RECORD)
    assert output.getvalue().startswith(f"{tmp_path}/run, or a file in it, was deleted or moved during the training.")


def other_process(run_id):
    raise CycleganError("Another process is training in run.")


@pytest.mark.parametrize("renew", [other_process, lambda run_id: True], ids=["another process", "something else"])
def test_a_place_that_is_taken_ends_the_training(secure, tmp_path, renew):
    build, _ = secure
    with pytest.raises(Displaced, match="something else has been put there"):
        build(renew)()
    assert not (tmp_path / "run").exists()


def test_the_record_of_another_run_ends_the_training_where_locks_are_off(secure, tmp_path):
    build, _ = secure
    write_run(tmp_path / "run", CONFIG, RECORD.model_copy(update={"run_id": "2"}), IMAGES)
    with pytest.raises(Displaced):
        build()()


def test_a_directory_that_cannot_be_created_again_is_named_with_the_reason(secure, tmp_path):
    build, _ = secure
    (tmp_path / "run").write_text("a file")
    with pytest.raises(CycleganError, match=r"run cannot be created again: File exists\.") as error:
        build()()
    assert not isinstance(error.value, UsageError)
