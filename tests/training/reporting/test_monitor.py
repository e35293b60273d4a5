"""What arrives in TensorBoard, read back by TensorBoard's own reader."""

import io
import pathlib

import numpy as np
import pytest
import rich.console
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cyclegan.config.files import load_config
from cyclegan.data.sources import Source
from cyclegan.training.hooks import Call
from cyclegan.training.length import Length, Session
from cyclegan.training.reporting.monitor import Monitor
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.reporting.summaries import Summaries
from cyclegan.training.run_directory import Plan
from cyclegan.training.state import build_state

CONFIG = load_config("smoke", [("training.log_every_steps", 2), ("training.sample_every_steps", 4)])
LENGTH = Length(steps_per_epoch=2, num_steps=4, num_epochs=2, decay_steps=2, decay_unit=2, global_batch=1)


@pytest.fixture
def watched(tmp_path):
    """A monitor of a run of four steps, and what it prints."""
    paths = []
    for number in range(2):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", (32, 32), (100 * number, 0, 0)).save(paths[-1])
    source = Source("red", tuple(paths), tuple(paths), (), (), tmp_path)
    state = build_state(CONFIG, tf.distribute.OneDeviceStrategy("/cpu:0"), LENGTH)
    output = io.StringIO()
    progress = Progress(rich.console.Console(file=output), tmp_path / "log.txt")

    def build(folder: pathlib.Path, first_step: int = 0) -> Monitor:
        session = Session(first_step, first_step, LENGTH.num_steps, 1)
        summaries = Summaries(folder, first_step, progress.line)
        return Monitor(state, source, Plan(folder, CONFIG, None, {}), progress, session, summaries)

    return build, output


TAGS = [
    *(f"loss/generator_{name}/{kind}" for name in ("ab", "ba") for kind in ("adversarial", "cycle", "identity")),
    "loss/discriminator_a",
    "loss/discriminator_b",
    "penalty/discriminator_a/gradient",
]


def call(*values, step, seconds, is_first=False):
    """A call that ended at `step`, with a step for each value, which all metrics have."""
    return Call(step, dict.fromkeys(TAGS, np.array(values, "float32")), seconds, is_first)


def events_of(folder):
    # Without purging, points that are written twice are read twice.
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}, purge_orphaned_data=False)
    events.Reload()
    return events


def points_of(events, tag):
    return [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]


def test_scalars_pictures_and_configuration_arrive(watched, tmp_path):
    build, output = watched
    monitor = build(tmp_path / "run")
    monitor.after_call(call(1.0, step=1, seconds=9.0, is_first=True))  # slow, because it compiles
    monitor.after_call(call(3.0, step=2, seconds=0.5))
    monitor.after_call(call(5.0, 7.0, step=4, seconds=2.0))
    monitor.close()

    events = events_of(tmp_path / "run")

    def points(tag):
        return points_of(events, tag)

    for tag in TAGS:
        assert points(tag) == [(2, 2.0), (4, 6.0)]
    assert points("learning_rate") == [(2, pytest.approx(2e-4)), (4, pytest.approx(1e-4))]
    assert points("speed/step_seconds") == [(2, 0.5), (4, 1.0)]
    assert points("speed/images_per_second") == [(2, 2.0), (4, 1.0)]
    tags = set(events.Tags()["tensors"])
    assert {"config", "samples/a_to_b", "samples/b_to_a", "_hparams_/session_start_info"} <= tags
    # Two rows of real, translated, back and identity, 32 pixels each.
    for name in ("a_to_b", "b_to_a"):
        with Image.open(tmp_path / "run" / "samples" / f"step-00000004-{name}.png") as picture:
            assert picture.size == (4 * 34 + 2, 2 * 34 + 2)
    lines = output.getvalue().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["step 2/4", "step 4/4"]
    assert (tmp_path / "log.txt").read_text().count("step ") == 2


def test_events_that_cannot_be_written_are_reported_once_and_cost_nothing_else(watched, tmp_path):
    build, output = watched
    (tmp_path / "run").write_text("a file where the folder should be")
    monitor = build(tmp_path / "run")
    for step in range(1, 5):
        monitor.after_call(call(1.0, step=step, seconds=0.1))
    monitor.close()
    assert output.getvalue().count("No more TensorBoard events") == 1
    assert "step 4/4" in output.getvalue()


def test_points_after_the_checkpoint_that_a_run_continues_from_are_not_there_twice(watched, tmp_path):
    build, _ = watched
    first = build(tmp_path / "run")
    first.after_call(call(1.0, 1.0, step=2, seconds=0.5))
    first.after_call(call(3.0, 3.0, step=4, seconds=0.5))  # and then the process is killed, after a checkpoint at 2
    first.close()
    again = build(tmp_path / "run", first_step=2)
    again.after_call(call(3.0, 3.0, step=4, seconds=0.5))
    again.close()
    events = events_of(tmp_path / "run")
    assert points_of(events, "loss/discriminator_a") == [(2, 1.0), (4, 3.0)]
    assert [event.step for event in events.Tensors("samples/a_to_b")] == [4]


def test_a_run_that_begins_again_leaves_nothing_of_its_first_beginning(watched, tmp_path):
    build, _ = watched
    for _ in range(2):  # killed before its first checkpoint
        monitor = build(tmp_path / "run")
        monitor.after_call(call(1.0, 1.0, step=2, seconds=0.5))
        monitor.close()
    events = events_of(tmp_path / "run")
    assert points_of(events, "loss/discriminator_a") == [(2, 1.0)]
    assert len(events.Tensors("config")) == 1


def test_the_damaged_end_of_an_event_file_costs_only_the_end(watched, tmp_path):
    build, _ = watched
    first = build(tmp_path / "run")
    first.after_call(call(1.0, 1.0, step=2, seconds=0.5))
    first.close()
    (path,) = (tmp_path / "run").glob("events.out.tfevents.*")
    with path.open("ab") as file:
        file.write(b"half a record")
    build(tmp_path / "run", first_step=2).close()
    assert points_of(events_of(tmp_path / "run"), "loss/discriminator_a") == [(2, 1.0)]
