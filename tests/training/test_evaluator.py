import io
import math
import shutil

import keras
import numpy as np
import pytest
import rich.console
import tensorflow as tf
from PIL import Image

from cyclegan.bundles.bundle import load_bundle
from cyclegan.config.files import load_config
from cyclegan.data.sources import Source
from cyclegan.errors import CycleganError, UsageError
from cyclegan.evaluation.validation import Images, Interrupted, Validator
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.evaluator import Evaluator, best_value, build_validator, describe_lost_best, is_settled
from cyclegan.training.history import History, read_history
from cyclegan.training.hooks import Call
from cyclegan.training.keeper import keep_best
from cyclegan.training.length import run_length
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.reporting.summaries import Summaries
from cyclegan.training.run_directory import Plan
from cyclegan.training.securing import Displaced
from cyclegan.training.state import build_state

STRATEGY = tf.distribute.OneDeviceStrategy("/cpu:0")
KEYS = [
    ("data.validation_fraction", 0.5),
    ("optimizer.schedule", "plateau"),
    ("optimizer.plateau_patience", 2),
    ("evaluation.patience", 3),
    ("evaluation.features", None),
    ("evaluation.metric", "swd"),
]
CONFIG = load_config("smoke", KEYS)


@pytest.fixture(scope="module")
def state():
    return build_state(CONFIG, STRATEGY, run_length(CONFIG.training, 10, 1))


@pytest.fixture
def evaluate(state, tmp_path):
    """Scores a run with given values of the metric, ten steps apart, and returns the evaluator and what it prints."""
    folder, output = tmp_path / "run", io.StringIO()
    folder.mkdir()
    state.rate_factor.assign(1.0)
    plan = Plan(folder, CONFIG, None, {})

    def keep(entry):
        keep_best(state.named(STRATEGY), plan, "fingerprint", lambda: None, entry)

    def run(*values, first_step=0, keep=keep, protocol="one", received=lambda: 0, others=None):
        progress = Progress(rich.console.Console(file=output, width=500))
        given = iter(values)
        summaries = Summaries(folder, first_step, progress.line)

        class Given:
            """Has the given scores, one after the other."""

            def scores(self, is_interrupted):
                if is_interrupted():
                    raise Interrupted
                value = next(given)
                if isinstance(value, Exception):
                    raise value
                return {"swd": float(value), "ab/SWD": 100.0 * value} | (others or {})

        validator = Given()
        validator.protocol = protocol
        history = History(folder, first_step, progress.line)
        evaluator = Evaluator(state, plan, Cluster(STRATEGY), progress, history, validator, summaries, keep, received)
        for number in range(1, len(values) + 1):
            evaluator.at_evaluation(Call(first_step + 10 * number, {"loss": np.zeros(10)}, 1.0, False))
        return evaluator, output.getvalue()

    return run, folder


def test_the_bundle_with_the_smallest_metric_is_kept(evaluate):
    run, folder = evaluate
    _, printed = run(0.9, 0.5, 0.7)
    provenance = load_bundle(folder, "best").info.provenance
    assert (provenance.step, provenance.validation) == (20, {"swd": 0.5, "ab/SWD": 50.0})
    assert best_value(folder, "swd", "one") == 0.5
    assert best_value(folder, "kid", "one") is best_value(folder, "swd", "two") is None
    assert printed.splitlines() == [
        "Step 10 scores swd 0.900 on the validation images; it is kept as the best so far.",
        "Step 20 scores swd 0.500 on the validation images; it is kept as the best so far, which was 0.900.",
        "Step 30 scores swd 0.700 on the validation images; the best so far is 0.500.",
    ]


def test_all_scores_are_written(evaluate):
    run, folder = evaluate
    run(0.9, 0.5)
    assert [(entry.step, entry.values["ab/SWD"]) for entry in read_history(folder, 100)] == [(10, 90.0), (20, 50.0)]
    (path,) = folder.glob("events.*")
    written = [
        (event.step, value.tag, tf.make_ndarray(value.tensor).item())
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]
    assert (20, "validation/swd", 0.5) in written and (10, "validation/ab/SWD", 90.0) in written


def test_the_rate_falls_when_the_metric_stays(evaluate, state):
    run, _ = evaluate
    run(0.9, 0.5, 0.6)
    assert state.rate_factor.numpy() == 1
    _, printed = run(0.9, 0.5, 0.6, 0.6)
    assert state.rate_factor.numpy() == 0.5
    assert "The learning rate is 0.0001 from here on." in printed


def test_a_session_decides_by_the_scores_of_those_before_it(evaluate, state):
    run, folder = evaluate
    run(0.9, 0.5, 0.6)
    evaluator, _ = run(0.55, first_step=20)  # step 30 comes again, and is not better either
    assert [entry.step for entry in read_history(folder, 100)] == [10, 20, 30]
    assert not evaluator.is_over and state.rate_factor.numpy() == 1
    evaluator, printed = run(0.55, 0.55, first_step=30)
    assert evaluator.is_over and state.rate_factor.numpy() == 0.5
    assert "The last 3 evaluations were not better than the best one before, so the run ends here" in printed


def test_a_step_is_scored_once(evaluate):
    run, folder = evaluate
    run(0.9)
    evaluator, printed = run(first_step=10)
    evaluator.at_evaluation(Call(10, {"loss": np.zeros(10)}, 1.0, False))
    assert len(read_history(folder, 100)) == 1 and printed.count("Step 10") == 1


@pytest.mark.parametrize(
    "failure",
    [
        CycleganError("no room."),
        tf.errors.ResourceExhaustedError(None, None, "no room."),
        np.linalg.LinAlgError("no room."),
    ],
    ids=["own", "tf", "numpy"],
)
def test_a_failure_costs_one_evaluation(evaluate, failure):
    run, folder = evaluate
    _, printed = run(0.9, failure, 0.8)
    assert "The run cannot be scored at step 20: no room. It goes on." in printed
    assert [entry.step for entry in read_history(folder, 100)] == [10, 30]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_not_one(evaluate, value):
    run, folder = evaluate
    _, printed = run(value, 0.8)
    assert "The run cannot be scored at step 10: The swd is not a finite number. It goes on." in printed
    assert [entry.step for entry in read_history(folder, 100)] == [20]
    assert load_bundle(folder, "best").info.provenance.step == 20


def test_other_scores_that_are_not_finite_are_left_out(evaluate):
    run, folder = evaluate
    run(0.5, others={"frechet": math.inf})
    assert load_bundle(folder, "best").info.provenance.validation == {"swd": 0.5, "ab/SWD": 50.0}


def test_scores_of_another_protocol_begin_anew(evaluate, state):
    run, folder = evaluate
    run(0.9, 0.5, 0.6)
    evaluator, printed = run(0.8, 0.9, first_step=30, protocol="two")
    assert "Step 40 scores swd 0.800 on the validation images; it is kept as the best so far.\n" in printed
    assert load_bundle(folder, "best").info.provenance.step == 40
    assert not evaluator.is_over and state.rate_factor.numpy() == 1


def test_a_bundle_that_cannot_be_written_costs_no_score(evaluate):
    run, folder = evaluate

    def keep(entry):
        raise CycleganError("The bundle cannot be written.")

    _, printed = run(0.8, 0.9, 0.7, keep=keep)
    assert [line.partition("; ")[2] for line in printed.splitlines()] == [
        "it is the best so far, but it is not kept: The bundle cannot be written.",
        "0.800 of step 10 is the best so far, but it is not kept: The bundle cannot be written.",
        "it is the best so far, but it is not kept: The bundle cannot be written.",
    ]
    assert len(read_history(folder, 100)) == 3


@pytest.mark.parametrize("failure", [MemoryError("no room."), tf.errors.ResourceExhaustedError(None, None, "no room.")])
def test_no_failure_to_keep_the_best_bundle_ends_the_run(evaluate, failure):
    run, folder = evaluate

    def keep(entry):
        raise failure

    _, printed = run(0.9, keep=keep)
    assert "it is not kept: no room." in printed and len(read_history(folder, 100)) == 1
    assert "is still not kept: no room." in run(first_step=10, keep=keep)[1]


def test_the_scores_of_another_protocol_are_not_the_best(evaluate):
    run, folder = evaluate
    run(0.3)
    run(0.9, 0.8, first_step=10, protocol="two")
    history = History(folder, 30, pytest.fail)
    assert is_settled(folder, history, 30, "swd")
    shutil.rmtree(folder / "bundle" / "best")
    assert "Step 30 was the best, with swd 0.800." in describe_lost_best(folder, history, "swd")
    assert not is_settled(folder, history, 30, "swd")


def test_a_run_that_is_over_says_so_once_and_no_rate(evaluate):
    run, _ = evaluate
    evaluator, printed = run(0.5, 0.6, 0.6, 0.6, 0.6)
    assert evaluator.is_over and printed.count("so the run ends here") == 1
    assert printed.count("The learning rate is") == 1  # after step 30, and not after step 50


def refuse(entry):
    raise CycleganError("The bundle cannot be written.")


def test_a_best_bundle_that_could_not_be_written_is_written_by_the_next_session(evaluate):
    run, folder = evaluate
    run(0.9, 0.5, keep=refuse)
    history = History(folder, 20, pytest.fail)
    assert not is_settled(folder, history, 20, "swd")
    _, printed = run(first_step=20)
    assert "Step 20, with swd 0.500 the best, is kept now." in printed
    assert load_bundle(folder, "best").info.provenance.validation == {"swd": 0.5, "ab/SWD": 50.0}
    assert is_settled(folder, history, 20, "swd") and not is_settled(folder, history, 30, "swd")
    run(first_step=20)
    assert printed.count("is kept now") == 1


def test_a_step_that_is_not_the_best_is_not_kept_by_the_next_session(evaluate):
    run, folder = evaluate
    run(0.5, 0.9, keep=refuse)
    _, printed = run(first_step=20)
    assert "best is missing. Step 10 was the best" in printed and not (folder / "bundle" / "best").exists()
    assert is_settled(folder, History(folder, 20, pytest.fail), 20, "swd")


def test_the_best_bundle_is_written_before_its_scores(evaluate):
    """Killed in between, the run is scored once more, and the bundle is not lost."""
    run, folder = evaluate

    def kill(entry):
        keep_best(*kept[:3], lambda: None, entry)
        raise KeyboardInterrupt

    kept = [build_state(CONFIG, STRATEGY, run_length(CONFIG.training, 10, 1)).named(STRATEGY)]
    kept += [Plan(folder, CONFIG, None, {}), "fingerprint"]
    with pytest.raises(KeyboardInterrupt):
        run(0.5, keep=kill)
    assert read_history(folder, 100) == () and load_bundle(folder, "best").info.provenance.step == 10
    run(0.5)
    assert [entry.step for entry in read_history(folder, 100)] == [10]


def test_the_best_bundle_does_not_take_the_room_of_a_checkpoint(evaluate, monkeypatch):
    run, folder = evaluate
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    _, printed = run(0.5)
    assert f"but it is not kept: The disk of {folder} has 1.0 kB left, but a checkpoint and 2 bundles take" in printed
    assert not (folder / "bundle").exists()


def test_a_directory_that_is_taken_ends_the_run(evaluate):
    def keep(entry):
        raise Displaced("Something else is there.")

    with pytest.raises(Displaced):
        evaluate[0](0.9, keep=keep)


def test_a_best_bundle_that_is_gone_is_named(evaluate):
    run, folder = evaluate
    run(0.5, 0.9)
    shutil.rmtree(folder / "bundle" / "best")
    _, printed = run(0.7, first_step=20)
    lost, kept, _ = printed.splitlines()[-3:]  # the last line is of the learning rate
    assert lost.endswith("best is missing. Step 10 was the best, with swd 0.500. The best one from here on is kept.")
    assert kept == "Step 30 scores swd 0.700 on the validation images; it is kept as the best so far."


def test_an_evaluation_is_given_up_for_a_signal(evaluate):
    run, folder = evaluate
    _, printed = run(0.9, received=lambda: 15)
    assert printed == "" and read_history(folder, 100) == ()


def grey(folder, name, number, mode="RGB"):
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"{name}{index}.png" for index in range(number))
    for index, path in enumerate(paths):
        Image.effect_noise((40, 40), 20 + 50 * index).convert(mode).save(path)
    return paths


def build(tmp_path, number, **keys):
    a, b = grey(tmp_path / "a", "a", number), grey(tmp_path / "b", "b", number, "L")
    source = Source("noise", a, b, (), (), None, a, b)
    config = load_config("smoke", [*KEYS, *((key.replace("__", "."), value) for key, value in keys.items())])
    state = build_state(config, STRATEGY, run_length(config.training, 10, 1))
    return build_validator(state, source, config, Progress(rich.console.Console(file=io.StringIO())), None)


def test_a_network_of_a_run_is_scored_on_its_validation_images(tmp_path):
    scores = build(tmp_path, 3).scores()
    assert scores["swd"] > 0 and {"ab/SWD", "ba/cycle L1", "ab/identity L1"} <= scores.keys()


def test_domains_may_have_different_numbers_of_channels(tmp_path):
    keys = {"data__channels_b": 1, "losses__identity_weight": 0.0}
    scores = build(tmp_path, 3, **keys).scores()
    assert scores["swd"] > 0 and "ab/identity L1" not in scores


def test_images_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"needs at least 2 validation images.*Received: 1 of 1 in .*/a"):
        build(tmp_path, 1)


def test_a_metric_that_the_features_cannot_have_is_refused(tmp_path):
    network = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.GlobalAveragePooling2D()])
    network.save(tmp_path / "mean.keras")
    keys = {"evaluation__features": str(tmp_path / "mean.keras"), "evaluation__metric": "share"}
    expected = "`evaluation.metric` must be one of kid, frechet, swd with these features. Received: metric=share"
    with pytest.raises(UsageError, match=expected):
        build(tmp_path, 3, **keys)


def test_a_validation_image_that_cannot_be_read_is_named(tmp_path):
    lines, a, b = io.StringIO(), grey(tmp_path / "a", "a", 3), grey(tmp_path / "b", "b", 2)
    a[1].write_bytes(b"not an image")
    state = build_state(CONFIG, STRATEGY, run_length(CONFIG.training, 10, 1))
    progress = Progress(rich.console.Console(file=lines, width=500))
    build_validator(state, Source("noise", a, b, (), (), None, a, b), CONFIG, progress, None)
    assert f"Left out: {a[1]}" in lines.getvalue()


def features_file(tmp_path, *layers):
    network = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.GlobalAveragePooling2D(), *layers])
    network.save(tmp_path / "made.keras")
    return {"evaluation__features": str(tmp_path / "made.keras"), "evaluation__metric": "kid"}


def test_features_that_are_always_the_same_can_be_scored(tmp_path):
    constant = keras.layers.Rescaling(0.0, offset=1.0)
    scores = build(tmp_path, 3, **features_file(tmp_path, constant)).scores()
    assert scores["kid"] == scores["frechet"] == 0


def test_features_that_are_not_finite_are_refused(tmp_path):
    spoiled = keras.layers.Rescaling(1e30), keras.layers.Rescaling(1e30)  # beyond what float32 can hold
    with pytest.raises(CycleganError, match="The features of made have values that are not finite."):
        build(tmp_path, 3, **features_file(tmp_path, *spoiled))


def test_a_model_that_has_diverged_has_no_scores(tmp_path):
    class Spoiled:
        def __call__(self, images, training):
            return images * math.nan

    a, b = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32, 3)).astype(np.float32)
    validator = Validator(Images(a, b, a, b), Spoiled(), Spoiled(), None, 0)
    with pytest.raises(CycleganError, match="values that are not finite, as those of a model that has diverged"):
        validator.scores()
