import json
import os
from pathlib import Path
from typing import Any

import pytest

from cyclegan.errors import UsageError


def _read_report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def report(bundle, tmp_path_factory, images, translate) -> dict[str, Any]:
    """The report of a folder: one image was translated before, one is broken, and two would get the same name."""
    photos, out = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("out")
    for name in ("b.jpg", "a.jpg", "x/same.jpg", "x/same.bmp"):
        images.save(photos / name)
    (photos / "broken.png").write_text("not an image")
    (out / "a.png").write_bytes(b"mine")
    translate(bundle, photos, out)
    return _read_report(out)


def test_report_lists_translated_images_in_the_order_of_their_names(report):
    assert report["translated"] == ["b.jpg", "x/same.bmp", "x/same.jpg"]


def test_report_lists_skipped_images(report):
    assert report["skipped"] == ["a.jpg"]


def test_report_lists_failed_images_with_a_reason(report):
    ((path, reason),) = (entry.values() for entry in report["failed"])
    assert path == "broken.png" and reason


def test_report_gives_the_names_of_translations_that_keep_their_suffix(report):
    assert report["renamed"] == {"x/same.bmp": "x/same.bmp.png", "x/same.jpg": "x/same.jpg.png"}


def test_report_contains_settings_and_speed(report):
    assert report["settings"]["direction"] == "ab" and report["images_per_second"] > 0


def test_report_identifies_the_weights(report, bundle):
    assert report["model"]["weights_sha256"]["ab"] == bundle.info.weights["ab"].sha256


def test_images_that_were_scaled_are_noted(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.png", images.noise(136, 140))
    translate(bundle, photos, tmp_path / "out")
    note = "it was translated at 132 x 128 pixels and scaled back"
    assert _read_report(tmp_path / "out")["notes"] == [{"path": "a.png", "note": note}]
    assert images.levels(tmp_path / "out" / "a.png").shape == (136, 140, 3)


def test_images_that_were_translated_in_strips_are_noted(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.png", images.noise(136, 140))
    translate(bundle, photos, tmp_path / "out", size="native", tile=32)
    note = "it was translated in strips of 32 rows to limit the memory it needs"
    assert _read_report(tmp_path / "out")["notes"] == [{"path": "a.png", "note": note}]


def test_notes_of_one_kind_are_said_once_even_if_their_numbers_differ(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.png", images.noise(136, 140))
    images.save(photos / "b.png", images.noise(140, 136))
    lines: list[str] = []
    translate(bundle, photos, tmp_path / "out", say=lines.append)
    notes = _read_report(tmp_path / "out")["notes"]
    assert [entry["path"] for entry in notes] == ["a.png", "b.png"] and notes[0]["note"] != notes[1]["note"]
    assert len(lines) == 1 and notes[0]["note"] in lines[0]


@pytest.mark.parametrize("content", ['{"mine": 1}', "[]", "3", "not JSON"])
def test_foreign_report_is_not_replaced(bundle, photos, tmp_path, content, images, translate):
    images.save(photos / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text(content)
    with pytest.raises(UsageError, match=r"report\.json exists and was not written by cyclegan"):
        translate(bundle, photos, tmp_path / "out")
    assert (tmp_path / "out" / "report.json").read_text() == content


def test_report_of_an_interrupted_call_names_all_that_was_written(bundle, photos, tmp_path, images, translate):
    for number in range(40):
        images.save(photos / f"{number:02}.png", images.noise(64, 64))
    translate(bundle, photos, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}

    def interrupt(done: int, failed: int, total: int, speed: float) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        translate(bundle, photos, tmp_path / "out", overwrite=True, progress=interrupt)
    written = sorted(path.name for path, time in before.items() if path.stat().st_mtime_ns != time)
    report = _read_report(tmp_path / "out")
    assert report["translated"] == written and 5 <= len(written) < 40


def test_names_that_are_not_utf_8_come_out_and_are_reported(bundle, photos, tmp_path, images, translate):
    name = os.fsdecode(b"\xff\xe4.png")
    images.save(photos / name)
    assert translate(bundle, photos, tmp_path / "out", gallery=True).num_translated == 1
    assert _read_report(tmp_path / "out")["translated"] == [name]
    assert (tmp_path / "out" / name).is_file()
