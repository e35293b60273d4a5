import io
import math

import numpy as np
import pytest
import rich.console
import tensorflow as tf
from PIL import Image

from cyclegan.config.files import load_config
from cyclegan.data.sources import Source
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.health import Health, build_examination
from cyclegan.training.history import History, read_history
from cyclegan.training.hooks import Call
from cyclegan.training.length import run_length
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.reporting.summaries import Summaries
from cyclegan.training.state import build_state

STRATEGY = tf.distribute.OneDeviceStrategy("/cpu:0")
SYMPTOMS = {
    f"{direction}/{name}": value
    for direction in ("ab", "ba")
    for name, value in {
        "spoiled": 0.0,
        "correlation": 0.6,
        "change": 0.2,
        "contrast": 0.3,
        "saturation": 0.0,
        "variety": 0.8,
        "sensitivity": 0.5,
        "grid": 0.01,
    }.items()
}
ILL = SYMPTOMS | {"ab/correlation": -0.5}


def call(step, cycle=1.0, discriminator=0.2):
    losses = dict.fromkeys(("loss/generator_ab/cycle", "loss/generator_ba/cycle"), cycle)
    losses |= dict.fromkeys(("loss/discriminator_a", "loss/discriminator_b"), discriminator)
    return Call(step, {name: np.full(5, value) for name, value in losses.items()}, 1.0, False)


@pytest.fixture
def watch(tmp_path):
    """Examines a run every ten steps, and returns the hook and what it prints.

    It is saved at some steps, and killed before it is examined at a step.
    """

    def run(*found, first_step=0, action="warn", saved=(), killed=None, last=None, **options):
        output = io.StringIO()
        progress = Progress(rich.console.Console(file=output, width=500))
        keys = [("health.every_steps", 10), ("health.action", action), ("losses.cycle_weight_b", 5.0)]
        config = load_config("smoke", keys)
        given = iter(found)
        summaries = Summaries(tmp_path, first_step, progress.line)
        history = History(tmp_path, first_step, progress.line)

        def examine():
            value = next(given)
            if isinstance(value, Exception):
                raise value
            return value

        health = Health(config, Cluster(STRATEGY), progress, history, examine, summaries)
        last = killed or last or first_step + 10 * len(found)
        for step in range(first_step + 5, last + 5, 5):
            this = call(step, **{name: value(step) if callable(value) else value for name, value in options.items()})
            if step in saved:
                health.at_checkpoint(this)
            if step != killed:
                health.after_call(this)
        summaries.flush()
        return health, output.getvalue()

    return run


def test_a_run_is_examined_every_so_many_steps(watch, tmp_path):
    watch(SYMPTOMS, SYMPTOMS, cycle=2.0, discriminator=0.05)
    entries = read_history(tmp_path, 100)
    assert [entry.step for entry in entries] == [10, 20]
    assert entries[0].values["health/ab/variety"] == 0.8
    assert entries[0].values["health/ab/cycle"] == 0.2  # without its weight of 10
    assert entries[0].values["health/ba/cycle"] == 0.4  # without its weight of 5
    assert entries[0].values["health/ab/discriminator"] == pytest.approx(0.2)  # of the 0.25 that guessing costs


def test_an_illness_is_said_once_and_its_end_too(watch, tmp_path):
    _, printed = watch(SYMPTOMS, *[ILL] * 5, SYMPTOMS)
    assert printed.splitlines() == [
        "Step 40, inverted colours ab: bright and dark are exchanged in the translations A to B. To try: start a"
        " new run with another training.seed, or with a higher losses.identity_weight.",
        "Step 70: inverted colours ab is no longer seen.",
    ]
    (path,) = tmp_path.glob("events.*")
    tags = [value.tag for event in tf.compat.v1.train.summary_iterator(str(path)) for value in event.summary.value]
    assert tags.count("health/inverted colours ab") == 1 and tags.count("health/ab/grid") == 7


def test_a_session_remembers_what_was_seen_before(watch):
    watch(SYMPTOMS, ILL, ILL)
    _, printed = watch(ILL, ILL, first_step=30)
    assert printed.count("inverted colours") == 1 and "Step 40" in printed
    _, printed = watch(ILL, first_step=50)
    assert printed == ""


@pytest.mark.parametrize("action", ["stop", "rollback"])
def test_an_ill_run_can_be_ended(watch, action):
    assert not watch(*[ILL] * 2, action=action)[0].is_over
    health, _ = watch(SYMPTOMS, SYMPTOMS, *[ILL] * 3, action=action)
    assert health.is_over and health.healthy_step == 20


def test_a_run_that_is_ill_is_examined_once_more_when_it_is_started_again(watch):
    """Or a lower learning rate could not help."""
    watch(*[ILL] * 3, action="stop")
    assert not watch(first_step=30, action="stop")[0].is_over
    health, _ = watch(ILL, first_step=30, action="stop")
    assert health.is_over and health.illnesses == {"inverted colours ab"}
    assert not watch(SYMPTOMS, first_step=30, action="stop")[0].is_over


def findings(folder):
    entries = (
        entry for entry in read_history(folder, 1000) if any(name.startswith("health/") for name in entry.values)
    )
    return [(entry.step, dict(entry.values)) for entry in entries]


def test_a_run_that_is_saved_twice_at_a_step_notes_it_once(watch, tmp_path):
    health, _ = watch(SYMPTOMS, saved=(5,))
    (before,) = (entry for entry in read_history(tmp_path, 1000) if entry.step == 5)
    text = (tmp_path / "metrics.jsonl").read_text()
    health.at_end(call(5))
    assert before.values["interval/steps"] == 5 and (tmp_path / "metrics.jsonl").read_text() == text


@pytest.mark.parametrize("killed", [15, 20, 25])
def test_a_run_that_is_killed_finds_out_the_same(watch, tmp_path, killed):
    """It is saved at step `killed`, and killed before it is examined there."""
    losses = {"cycle": lambda step: step / 7, "discriminator": lambda step: 1 / step}
    watch(*[SYMPTOMS] * 4, **losses)
    whole = findings(tmp_path)
    (tmp_path / "metrics.jsonl").unlink()
    watch(*[SYMPTOMS] * 2, saved=(killed,), killed=killed, **losses)
    num_left = 4 - (killed - 1) // 10
    watch(*[SYMPTOMS] * num_left, first_step=killed, last=40, **losses)
    assert [step for step, _ in whole] == [10, 20, 30, 40] and findings(tmp_path) == whole


def test_only_a_rollback_makes_a_run_not_worth_saving(watch):
    assert [watch(*[ILL] * 3, action=action)[0].is_spoiled for action in ("stop", "rollback")] == [False, True]


def test_the_last_step_without_any_sign_is_known(watch):
    assert watch(SYMPTOMS, SYMPTOMS, ILL)[0].unsuspected_step() == 20
    assert watch(ILL)[0].unsuspected_step() == 0


def test_losses_of_a_part_of_the_interval_say_nothing(watch, tmp_path):
    watch(SYMPTOMS, first_step=5)  # which ends at step 15, and is examined at step 10
    (entry,) = read_history(tmp_path, 100)
    assert "health/ab/grid" in entry.values and "health/ab/cycle" not in entry.values


def test_a_session_that_was_short_does_not_hide_a_discriminator_that_has_won(watch):
    watch(*[SYMPTOMS] * 3, discriminator=0.001)
    watch(SYMPTOMS, first_step=35, discriminator=0.001)  # its examination knows nothing of the losses
    _, printed = watch(SYMPTOMS, SYMPTOMS, first_step=40, discriminator=0.001)
    assert "Step 60, discriminator won ab" in printed


def test_translations_that_are_not_finite_are_seen_at_once(watch, tmp_path):
    health, printed = watch(SYMPTOMS, {"ab/spoiled": 1.0, "ba/spoiled": 0.0}, action="rollback")
    assert printed.startswith("Step 20, spoiled output ab: a part of the translations A to B, or of the way back, is")
    assert health.is_over and health.healthy_step == 10


def test_an_examination_that_fails_costs_no_training(watch, tmp_path):
    _, printed = watch(MemoryError("no room."), SYMPTOMS)
    assert "The run cannot be examined at step 10: no room. It goes on." in printed
    assert [entry.step for entry in read_history(tmp_path, 100)] == [20]


def test_a_warning_ends_nothing(watch):
    health, printed = watch(*[ILL] * 3)
    assert "inverted colours" in printed and not health.is_over and health.healthy_step is None


def test_a_run_that_was_ill_from_the_start_has_no_healthy_step(watch):
    assert watch(*[ILL] * 3, action="stop")[0].healthy_step == 0


@pytest.fixture
def source(tmp_path):
    paths = []
    for number in range(12):
        paths.append(tmp_path / f"{number}.png")
        Image.effect_noise((40, 40), 10 + 5 * number).convert("RGB").save(paths[-1])
    return Source("noise", tuple(paths), tuple(paths[:10]), (), (), None)


def test_the_generators_of_a_run_are_examined(source):
    config = load_config("smoke")
    state = build_state(config, STRATEGY, run_length(config.training, 10, 1))
    examine = build_examination(state.generator_ab, state.generator_ba, source, config)
    first = examine()
    assert first.keys() == SYMPTOMS.keys() and all(math.isfinite(value) for value in first.values())
    assert examine() == first
    kernel = state.generator_ab.trainable_variables[-2]
    kernel.assign(tf.zeros(kernel.shape))
    assert examine()["ab/contrast"] == pytest.approx(0, abs=1e-6)


def test_a_domain_of_one_image_is_not_examined(source):
    config = load_config("smoke")
    state = build_state(config, STRATEGY, run_length(config.training, 10, 1))
    few = source._replace(train_b=source.train_b[:1])
    assert build_examination(state.generator_ab, state.generator_ba, few, config) is None
