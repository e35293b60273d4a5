import json

import numpy as np
import pytest
from PIL import Image

from cyclegan.bundles.bundle import load_bundle
from cyclegan.comparison.page import write_page
from cyclegan.comparison.runs import SCORES_FILE, differences, read_runs, spreads, warnings
from cyclegan.comparison.translations import translate_views
from cyclegan.config.files import load_config
from cyclegan.config.sections import DataConfig
from cyclegan.data.inventory import TrainingImage, fingerprint
from cyclegan.data.sources import Source
from cyclegan.errors import UsageError
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

    def make(name, *values, images=IMAGES, scores=None, protocol="one", **keys):
        folder = tmp_path / name
        config = load_config("smoke", [(key.replace("__", "."), value) for key, value in keys.items()])
        record = RunRecord(version="0", devices="cpu", num_replicas=1, fingerprint=fingerprint(images))
        write_run(folder, config, record, images)
        history = History(folder, 0, pytest.fail)
        for number, value in enumerate(values, start=1):
            history.add(Entry(10 * number, {"swd": value, "ab/SWD": 50 * value}, protocol))
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
    assert run.best == Entry(20, {"swd": 0.5, "ab/SWD": 25.0}, "one")
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
    runs = read_runs([make_run("one", 0.5), make_run("two", 0.4, images=moved, protocol="two")])
    *_, warning = warnings(runs)
    assert warning == "The scores while training were made in different ways: other validation images."
    assert warnings(runs[:1]) == ["one has no best bundle. Step 10 scored best."]


def test_scores_by_another_network_of_the_same_name_are_warned_of(make_run):
    runs = read_runs([make_run("one", 0.5), make_run("two", 0.4, protocol="two")])
    assert warnings(runs)[-1].endswith("in different ways: another network, or files that changed.")
    assert spreads(runs, "swd") == []


def test_scores_at_another_size_are_warned_of(make_run):
    runs = read_runs([make_run("one", 0.5), make_run("two", 0.4, data__crop_size=28, protocol="two")])
    assert warnings(runs)[2:] == ["The scores while training were made in different ways: size (one: 32, two: 28)."]


def test_test_scores_with_other_protocols_are_warned_of(make_run):
    same = [make_run("one", scores=evaluated(5)), make_run("two", scores=evaluated(6))]
    assert not any("different protocols" in each for each in warnings(read_runs(same)))
    back = evaluated(5)[0] | {"direction": "ba"}
    both = make_run("four", scores=[*evaluated(5), back])
    assert not any("different protocols" in each for each in warnings(read_runs([*same, both])))
    other = make_run("three", scores=evaluated(6, seed=1, extractor="net"))
    *_, warning = warnings(read_runs([*same, other]))
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


@pytest.mark.parametrize("text", ['[{"title": 3}]', "null", "[null]", "[", '{"a": 1}', "[]" * 3])
def test_damaged_scores_cost_no_page(make_run, text):
    folder = make_run("one")
    (folder / SCORES_FILE).write_text(text)
    (run,) = read_runs([folder])
    (note,) = run.notes
    assert run.tested == () and note.startswith(f"{folder / SCORES_FILE} cannot be read: ")
    assert note.endswith(
        f"Remove it; `cyclegan evaluate --model {folder} --json {folder / SCORES_FILE}` writes it anew."
    )


def keep(make_bundle, folder, which, step, validation=None, protocol="one"):
    """Gives a run a bundle."""
    bundle = make_bundle(folder / "bundle" / which)
    made = bundle.info.provenance.model_copy(
        update={"step": step, "validation": validation or {}, "validation_protocol": protocol}
    )
    info = bundle.info.model_copy(update={"provenance": made})
    (bundle.folder / "bundle.json").write_text(info.model_dump_json())
    return load_bundle(bundle.folder)


def test_the_best_step_is_that_of_the_best_bundle(make_run, make_bundle):
    folder = make_run("one", 0.9, 0.5, 0.7)
    keep(make_bundle, folder, "best", 20, {"swd": 0.5})
    keep(make_bundle, folder, "last", 30)
    (run,) = read_runs([folder])
    assert (run.best.step, run.notes, run.bundles) == (20, (), {"best": 20, "last": 30})
    keep(make_bundle, folder, "best", 30, {"swd": 0.7})
    (run,) = read_runs([folder])
    assert (run.best.step, run.best.values) == (30, {"swd": 0.7})
    assert run.notes == ("The best bundle of one is of step 30, but step 20 scored better.",)
    keep(make_bundle, folder, "best", 40, {"swd": 0.4})  # what scored it is not known any more
    (run,) = read_runs([folder])
    assert (run.best.step, run.notes) == (40, ())
    keep(make_bundle, folder, "best", 20, {"swd": 0.5}, "two")
    (run,) = read_runs([folder])
    assert run.notes == ("The best bundle of one, of step 20, was chosen by other scores than those shown.",)


def test_scores_of_a_run_that_were_made_in_several_ways_are_not_mixed(make_run):
    folder = make_run("one", 0.1)
    history = History(folder, 100, pytest.fail)
    for step, value in ((20, 0.8), (30, 0.9)):
        history.add(Entry(step, {"swd": value}, "two"))
    (run,) = read_runs([folder])
    assert [entry.step for entry in run.entries] == [20, 30] and run.best.step == 20
    assert run.notes[0] == (
        "one was scored in several ways, with other images or other features. Shown are the scores that were made like"
        " the last one, of which the first is that of step 20."
    )


def test_scores_of_a_model_that_is_not_there_any_more_are_warned_of(make_run, make_bundle):
    folder = make_run("one", 0.5)
    bundle = keep(make_bundle, folder, "best", 10, {"swd": 0.5})
    (scores,) = evaluated(5)
    own = scores | {"weights_sha256": bundle.info.weights["ab"].sha256}
    (folder / SCORES_FILE).write_text(json.dumps([own]))
    assert read_runs([folder])[0].notes == ()
    (folder / SCORES_FILE).write_text(json.dumps([own, scores | {"weights_sha256": "0" * 64}]))
    assert "has scores of another model than those that the bundles hold now" in read_runs([folder])[0].notes[0]
    (folder / SCORES_FILE).write_text(json.dumps([own, own | {"direction": ""}]))
    (run,) = read_runs([folder])
    assert len(run.tested) == 1 and "has scores of images that are not of a model" in run.notes[0]


def test_pictures_are_of_images_that_all_runs_can_read(make_run, make_bundle, tmp_path):
    paths = []
    for number in range(4):
        paths.append(tmp_path / f"{number}.png")
        Image.effect_noise((40 + 40 * (number == 1), 40), 50).convert("RGB").save(paths[-1])
    paths[2].write_bytes(b"not an image")
    folders, lines = [tmp_path / "one", tmp_path / "two"], []
    make_bundle(folders[0] / "bundle" / "last")
    sections = [DataConfig(crop_size=32, load_size=32), DataConfig(crop_size=32, load_size=32, max_pixels=2000)]
    source = Source("noise", tuple(paths), tuple(paths[2:3]), (), (), None)
    pictures = translate_views(list(zip(folders, sections, strict=True)), source, 3, lines.append)
    assert [len(row) for row in pictures["ab"]] == [3, 3] and pictures["ba"] == []
    assert any("Left out" in line and "2.png" in line for line in lines)
    assert np.all(pictures["ab"][0][2] == 0) and f"Nothing is translated by {folders[1]}" in " ".join(lines)


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
