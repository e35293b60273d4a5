import json

import numpy as np
import pytest

from cyclegan.comparison.page import write_page
from cyclegan.comparison.runs import SCORES_FILE, differences, read_runs, spreads, warnings
from cyclegan.config.files import load_config
from cyclegan.data.inventory import TrainingImage, fingerprint
from cyclegan.errors import CycleganError, UsageError
from cyclegan.training.history import Entry, History
from cyclegan.training.record import RunRecord, write_run

IMAGES = (
    TrainingImage("a", "1.png", 10, "training"),
    TrainingImage("b", "2.png", 20, "training"),
    TrainingImage("a", "3.png", 30, "validation"),
)


@pytest.fixture
def make_run(tmp_path):
    """Writes a run with scores at the steps 10, 20 and so on."""

    def make(name, *values, images=IMAGES, scores=None, **keys):
        folder = tmp_path / name
        config = load_config("smoke", [(key.replace("__", "."), value) for key, value in keys.items()])
        record = RunRecord(version="0", devices="cpu", num_replicas=1, fingerprint=fingerprint(images))
        write_run(folder, config, record, images)
        history = History(folder, 0, pytest.fail)
        for number, value in enumerate(values, start=1):
            history.add(Entry(10 * number, {"swd": value, "ab/SWD": 50 * value}))
            history.add(Entry(10 * number, {"health/ab/grid": 0.01}))
        if scores:
            (folder / SCORES_FILE).write_text(json.dumps(scores))
        return folder

    return make


def evaluated(value, **changes):
    """The scores of one direction as `evaluate --json` writes them."""
    interval = {"value": value, "low": value - 1, "high": value + 1}
    protocol = {
        "images": {"real test images": "6 images, abc", "translated": f"6 images, {value}"},
        "preprocessing": "stretch to 32 pixels",
        "extractor": None,
        "extractor_digest": None,
        "seed": 0,
        "versions": {"cyclegan": "1"},
    }
    title = "runs/x/bundle/best, step 20, ab"
    return [
        {
            "title": title,
            "direction": "ab",
            "distances": {"SWD": {"translated": interval, "untranslated": interval}},
            "content": {"cycle L1": interval},
            "protocol": protocol | changes,
        }
    ]


def test_the_best_entry_of_a_run_has_the_smallest_metric(make_run):
    (run,) = read_runs([make_run("one", 0.9, 0.5, 0.7)])
    assert run.best == Entry(20, {"swd": 0.5, "ab/SWD": 25.0})
    assert [entry.step for entry in run.entries] == [10, 20, 30]


def test_a_run_that_was_not_scored_has_no_best_entry(make_run):
    (run,) = read_runs([make_run("one")])
    assert run.best is None and run.entries == ()


def test_the_keys_that_differ_are_found(make_run):
    runs = read_runs([make_run("one"), make_run("two", training__seed=3, losses__cycle_weight_a=5.0)])
    assert differences(runs) == {"losses.cycle_weight_a": [10.0, 5.0], "training.seed": [0, 3]}


def test_runs_that_differ_by_the_seed_alone_have_a_spread(make_run):
    folders = [make_run(f"seed-{seed}", 0.9, value, training__seed=seed) for seed, value in ((1, 0.5), (2, 0.7))]
    other = make_run("other", 0.1, losses__cycle_weight_a=5.0)
    (spread,) = spreads(read_runs([*folders, other]), "swd")
    assert spread.names == ("seed-1", "seed-2")
    assert (spread.mean, spread.deviation) == pytest.approx((0.6, np.std([0.5, 0.7], ddof=1)))


def test_scores_on_other_validation_images_are_warned_of(make_run):
    moved = (*IMAGES[:2], IMAGES[2]._replace(name="4.png"))
    runs = read_runs([make_run("one", 0.5), make_run("two", 0.4, images=moved)])
    (warning,) = warnings(runs)
    assert warning == "The scores while training were made in different ways: other validation images."
    assert warnings(runs[:1]) == []


def test_scores_at_another_size_are_warned_of(make_run):
    runs = read_runs([make_run("one", 0.5), make_run("two", 0.4, data__crop_size=28)])
    assert warnings(runs) == ["The scores while training were made in different ways: size (one: 32, two: 28)."]


def test_test_scores_with_other_protocols_are_warned_of(make_run):
    same = [make_run("one", scores=evaluated(5)), make_run("two", scores=evaluated(6))]
    assert warnings(read_runs(same)) == []
    other = make_run("three", scores=evaluated(6, seed=1, extractor="net"))
    (warning,) = warnings(read_runs([*same, other]))
    assert warning == (
        "The scores on test images of one and three were made by different protocols: they differ in extractor, seed."
    )


def test_a_run_that_is_given_twice_is_refused(make_run):
    folder = make_run("one")
    with pytest.raises(UsageError, match="Each run must be given once"):
        read_runs([folder, folder])


def test_runs_of_one_name_are_told_apart(make_run):
    runs = read_runs([make_run("x/run"), make_run("y/run")])
    assert [run.name for run in runs] == ["x/run", "y/run"]


def test_what_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not the directory of a run"):
        read_runs([tmp_path / "nowhere"])


def test_damaged_scores_are_named(make_run):
    folder = make_run("one")
    (folder / SCORES_FILE).write_text('[{"title": 3}]')
    with pytest.raises(CycleganError, match=r"scores.json cannot be read"):
        read_runs([folder])


def page_of(tmp_path, runs, pictures):
    path = tmp_path / "comparison.html"
    write_page(path, runs, pictures)
    return path.read_text()


def test_the_page_shows_all_of_it(make_run, tmp_path):
    names = ("seed-<1>", "seed-2")
    folders = [
        make_run(name, 0.9, 0.5, training__seed=number, scores=evaluated(5)) for number, name in enumerate(names)
    ]
    row = [np.full((8, 8, 3), 100 * number, np.uint8) for number in range(3)]
    page = page_of(tmp_path, read_runs(folders), {"ab": [row, row]})
    assert "seed-&lt;1&gt;" in page and "<1>" not in page
    assert page.count("<polyline") == 4  # two runs, each with curves of swd and ab/SWD
    assert page.count('src="data:image/png;base64,') == 6
    for text in ("Spread over seeds", "training.seed", "0.500 / 0.500", "4.000 to 6.000"):
        assert text in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched


def test_a_page_may_be_written_again_but_nothing_else_is_replaced(make_run, tmp_path):
    runs = read_runs([make_run("one", 0.5), make_run("two", 0.7, 0.6)])
    first = page_of(tmp_path, runs, {})
    assert first.count("<circle") == 2  # one point makes no line
    assert page_of(tmp_path, runs, {}) == first
    (tmp_path / "comparison.html").write_text("mine")
    with pytest.raises(UsageError, match="exists and is not a page of `cyclegan compare`"):
        page_of(tmp_path, runs, {})
