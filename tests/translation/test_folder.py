import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from cyclegan.errors import CycleganError, UsageError

AWKWARD_SIZES = {  # width, height
    "UPPER.png": (256, 256),
    "animated.png": (64, 64),
    "cmyk.png": (256, 256),
    "exif_rotated.png": (160, 240),
    "gray.png": (256, 256),
    "gray16.png": (256, 256),
    "gray_alpha.png": (256, 256),
    "name with spaces and ünïcødé.png": (256, 256),
    "nested/deeper/photo.png": (256, 256),
    "nested/same.jpg.png": (256, 256),
    "nested/same.png.png": (256, 256),
    "odd_size.png": (317, 203),
    "one_pixel.png": (1, 1),
    "palette.png": (256, 256),
    "panorama.png": (900, 150),
    "photo.bmp.png": (256, 256),
    "photo.webp.png": (256, 256),
    "tiny_3x5.png": (3, 5),
    "transparent.png": (256, 256),
}
WITH_ALPHA = {"gray_alpha.png", "transparent.png"}
BROKEN = {"bomb.png", "empty.jpg", "text.jpg", "truncated.jpg"}
MAYBE_BROKEN = "bitflips.jpg"  # decoders differ


class Awkward(NamedTuple):
    """The awkward images, translated, and the lines that were said."""

    source: Path
    output: Path
    lines: list[str]
    counts: tuple[int, int]  # translated, skipped
    failed: dict[str, str]


@pytest.fixture(scope="module")
def awkward(bundle, shared, tmp_path_factory, translate) -> Awkward:
    source, output = shared / "awkward_images", tmp_path_factory.mktemp("awkward") / "out"
    lines: list[str] = []
    result = translate(bundle, source, output, say=lines.append, size="native")
    return Awkward(source, output, lines, (result.num_translated, result.num_skipped), dict(result.failed))


def test_every_image_of_a_real_folder_that_can_be_read_becomes_one_file(awkward, images):
    expected = {*AWKWARD_SIZES} if MAYBE_BROKEN in awkward.failed else {*AWKWARD_SIZES, "bitflips.png"}
    assert images.files_in(awkward.output) == sorted(expected)
    assert awkward.counts == (len(expected), 0)


@pytest.mark.parametrize("name", AWKWARD_SIZES)
def test_real_image_comes_out_whole_and_upright(awkward, name):
    with Image.open(awkward.output / name) as image:
        image.load()
        mode = "RGBA" if name in WITH_ALPHA else "RGB"
        assert (image.size, image.mode, image.format) == (AWKWARD_SIZES[name], mode, "PNG")


def test_broken_images_of_a_real_folder_are_named_in_one_line_each(awkward):
    assert awkward.failed.keys() - {MAYBE_BROKEN} == BROKEN
    said = {f"{awkward.source / path}: {reason}" for path, reason in awkward.failed.items()}
    assert said < set(awkward.lines)
    assert all(reason and "\n" not in reason for reason in awkward.failed.values())


def test_first_frame_is_the_only_note_on_a_real_folder_at_its_own_size(awkward):
    said = {f"{awkward.source / path}: {reason}" for path, reason in awkward.failed.items()}
    notes = [line for line in awkward.lines if line not in said]
    assert [note.split(":")[0] for note in notes] == [str(awkward.source / "animated.gif")]


def test_images_that_would_share_a_name_keep_their_suffix(bundle, photos, tmp_path, images, translate):
    for name in ("one.jpg", "two.jpg", "two.bmp", "two.jpg.gif", "Case.jpg", "case.png"):
        images.save(photos / name)
    assert translate(bundle, photos, tmp_path / "out").num_translated == 6
    assert images.files_in(tmp_path / "out") == [
        "Case.jpg.png",
        "case.png.png",
        "one.png",
        "two.bmp.png",
        "two.jpg.gif.png",
        "two.jpg.png",
    ]


def test_existing_outputs_are_skipped_unless_overwritten(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.jpg")
    images.save(photos / "b.jpg")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    assert translate(bundle, photos, out) == (1, 1, [])
    assert (out / "a.png").read_bytes() == b"mine"
    assert translate(bundle, photos, out) == (0, 2, [])
    assert translate(bundle, photos, out, overwrite=True) == (2, 0, [])
    assert images.levels(out / "a.png").shape == (8, 8, 3)


def test_files_of_another_model_or_direction_are_kept_with_a_line(
    make_bundle, bundle, photos, tmp_path, images, translate
):
    images.save(photos / "a.jpg")
    out, lines = tmp_path / "out", []
    translate(make_bundle(tmp_path / "other", seed=7), photos, out)
    images.save(photos / "b.jpg")
    translate(bundle, photos, out, say=lines.append)
    assert lines == [
        f"Files in {out} were made by another model ({tmp_path / 'other'}, step 0, direction ab), and are kept."
        " --overwrite makes them anew."
    ]
    both = f"({bundle.folder}, step 0, direction ab; {tmp_path / 'other'}, step 0, direction ab)"
    for _ in range(2):  # a call that skips everything makes nothing
        translate(bundle, photos, out, direction="ba", say=lines.append)
        assert both in lines.pop()
    content = json.loads((out / "report.json").read_text())
    assert [content["model"]["bundle"], *(one["bundle"] for one in content["earlier_models"])] == [
        str(bundle.folder),
        str(tmp_path / "other"),
    ]
    translate(bundle, photos, out, direction="ab", overwrite=True, say=lines.append)
    translate(bundle, photos, out, direction="ab", say=lines.append)
    assert len(lines) == 1


def test_all_models_that_made_files_of_a_folder_are_remembered(
    make_bundle, bundle, photos, tmp_path, images, translate
):
    out, lines = tmp_path / "out", []
    for name in ("1", "2"):
        images.save(photos / f"{name}.jpg")
    translate(make_bundle(tmp_path / "other", seed=7), photos, out)
    third = tmp_path / "more"
    third.mkdir()
    images.save(third / "3.jpg")
    translate(bundle, third, out, say=lines.append)  # it neither skips nor makes what the other has made
    assert lines == []
    translate(bundle, photos, out, say=lines.append)
    assert f"made by another model ({tmp_path / 'other'}, step 0, direction ab)" in lines.pop()
    (photos / "2.jpg").rename(tmp_path / "2.jpg")
    translate(bundle, photos, out, overwrite=True, say=lines.append)  # 1 is anew, and 2 is as before
    (tmp_path / "2.jpg").rename(photos / "2.jpg")
    assert lines == []
    translate(bundle, photos, out, say=lines.append)
    content = json.loads((out / "report.json").read_text())
    assert [(one["bundle"], one["images"]) for one in content["earlier_models"]] == [
        (str(tmp_path / "other"), ["2.jpg"])
    ]
    assert str(tmp_path / "other") in lines.pop()
    translate(bundle, photos, out, overwrite=True)
    translate(bundle, photos, out, say=lines.append)
    assert lines == [] and json.loads((out / "report.json").read_text())["earlier_models"] == []


def test_progress_tells_translated_from_failed_images(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.jpg")
    (photos / "b.jpg").write_text("not an image")
    images.save(photos / "c.jpg")
    calls: list[tuple[int, int, int]] = []
    translate(bundle, photos, tmp_path / "out", progress=lambda *counts: calls.append(counts[:3]))
    assert [translated + failed for translated, failed, _ in calls] == [1, 2, 3]
    assert calls[-1] == (2, 1, 3)


@pytest.mark.parametrize(
    "output", ["photos", "photos/out", "photos/x/../../photos", "link", "link/out", "new/../photos"]
)
def test_output_in_the_input_is_refused(bundle, photos, tmp_path, output, images, translate):
    images.save(photos / "x" / "a.jpg")
    (tmp_path / "link").symlink_to(photos)
    with pytest.raises(UsageError, match="is in the input"):
        translate(bundle, photos, tmp_path / output)
    assert images.files_in(photos) == ["x/a.jpg"]


def test_output_around_the_input_never_writes_into_it(bundle, photos, tmp_path, images, translate):
    images.save(photos / "photos" / "a.png")
    with pytest.raises(UsageError, match="is in the input"):
        translate(bundle, photos, tmp_path, overwrite=True)
    images.save(photos / "b.jpg")
    (photos / "photos" / "a.png").unlink()
    assert translate(bundle, photos, tmp_path).num_translated == 1
    assert (tmp_path / "b.png").is_file()


def test_link_out_of_the_output_is_refused(bundle, photos, tmp_path, images, translate):
    images.save(photos / "x" / "a.jpg")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link to a place outside of the output"):
        translate(bundle, photos, tmp_path / "out")
    assert images.files_in(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    ("input", "output", "message"),
    [
        ("missing", "out", "does not exist"),
        ("texts", "out", r"contains no images\. Looked for \.bmp \.gif \.jpeg \.jpg \.png"),
        ("photos", "texts/notes.txt", "must be a folder"),
    ],
)
def test_input_without_images_and_output_that_is_a_file_are_refused(
    bundle, photos, tmp_path, input, output, message, images, translate
):
    images.save(photos / "a.jpg")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("not an image")
    with pytest.raises(UsageError, match=message):
        translate(bundle, tmp_path / input, tmp_path / output)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("output", "files"),
    [
        ("out", ["out/a.png", "out/report.json"]),
        ("photos", ["photos/a.png", "photos/report.json"]),
        ("other/b.png", ["other/b.png"]),
        ("b.webp", ["b.webp"]),
    ],
)
def test_one_image_goes_into_a_folder_or_to_a_file(bundle, photos, tmp_path, output, files, images, translate):
    image = images.save(photos / "a.jpg")
    assert translate(bundle, image, tmp_path / output) == (1, 0, [])
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"photos/a.jpg", *files}


@pytest.mark.parametrize(
    ("image", "output", "options", "message"),
    [
        ("a.jpg", "b.bmp", {}, "end in .png"),
        ("a.jpg", "b.jpg", {"file_format": "webp"}, "must not contradict `--format`"),
        ("a.png", "photos", {"overwrite": True}, "would replace the input"),
    ],
)
def test_one_image_is_refused_to_an_output_that_cannot_be(
    bundle, photos, tmp_path, image, output, options, message, images, translate
):
    with pytest.raises(UsageError, match=message):
        translate(bundle, images.save(photos / image), tmp_path / output, **options)


def test_gallery_and_contact_sheet_show_images_of_earlier_calls_too(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.png", images.noise(16, 12))
    translate(bundle, photos, tmp_path / "out", gallery=True, cycle=True)
    images.save(photos / "b.bmp", images.noise(16, 20))
    translate(bundle, photos, tmp_path / "out", gallery=True, cycle=True, grid=tmp_path / "sheets" / "sheet.jpg")
    page = (tmp_path / "out" / "index.html").read_text()
    for name in ("a.png", "a.cycled.png", "gallery/a.png.webp", "b.png", "b.cycled.png", "gallery/b.bmp.webp"):
        assert f'"{name}"' in page and (tmp_path / "out" / name).is_file()
    with Image.open(tmp_path / "sheets" / "sheet.jpg") as sheet:
        assert sheet.width > 3 * 192


def test_contact_sheet_shows_the_value_range_of_the_model(photos, tmp_path, images, translate, make_bundle):
    """Black, the middle and white of the range, in the input and, from 0 on, in the 16 bits of the output."""
    bundle = make_bundle(tmp_path / "bundle", 1, 1, value_range=(-1000.0, 3000.0))
    ramp = np.linspace(-1000, 3000, 64, dtype=np.float32)
    Image.fromarray(np.repeat(ramp[np.newaxis], 64, axis=0)).save(photos / "a.tif")
    translate(bundle, photos, tmp_path / "out", grid=tmp_path / "sheet.png")
    translated = images.levels(tmp_path / "out" / "a.png") / 4000 * 255
    sheet = images.levels(tmp_path / "sheet.png")[..., 0]
    tiles = sheet[24 + 28 : 24 + 28 + 192, 24 : 24 + 192], sheet[24 + 28 : 24 + 28 + 192, 24 + 196 : 24 + 196 + 192]
    for tile, expected in zip(tiles, ((ramp + 1000) / 4000 * 255, translated), strict=True):
        np.testing.assert_allclose(tile[1::3, 1::3], np.broadcast_to(expected, (64, 64)), atol=1)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("photos/a.png", "would replace the input"),
        ("sheet.png", "sheet.png exists and is not a contact sheet of cyclegan"),
        ("out/a.png", "is the translation of an image"),
    ],
)
def test_a_contact_sheet_replaces_nothing(bundle, photos, tmp_path, grid, message, images, translate):
    images.save(photos / "a.png")
    (tmp_path / "sheet.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match=message):
        translate(bundle, photos, tmp_path / "out", grid=tmp_path / grid)
    assert (tmp_path / "sheet.png").read_bytes() == b"mine" and not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_second_call_replaces_the_contact_sheet_of_the_first(bundle, photos, tmp_path, suffix, images, translate):
    sheet = tmp_path / f"sheet.{suffix}"
    images.save(photos / "a.png")
    translate(bundle, photos, tmp_path / "out", grid=sheet)
    before = sheet.read_bytes()
    images.save(photos / "b.png", images.noise(8, 12))
    assert translate(bundle, photos, tmp_path / "out", grid=sheet) == (1, 1, [])
    assert sheet.read_bytes() != before
    assert translate(bundle, photos, tmp_path / "out", grid=sheet) == (0, 2, [])


def test_a_contact_sheet_replaces_no_other_picture(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.png")
    mine = images.save(tmp_path / "sheet.png").read_bytes()
    with pytest.raises(UsageError, match="is not a contact sheet of cyclegan"):
        translate(bundle, photos, tmp_path / "out", grid=tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes() == mine


@pytest.fixture
def unlistable(photos, images):
    """A folder with one image, and with a folder whose path is longer than the system takes."""
    images.save(photos / "a.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(photos)
        for _ in range(20):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
    yield photos
    shutil.rmtree(photos)


def test_a_folder_that_cannot_be_listed_does_not_stop_the_rest(bundle, unlistable, tmp_path, translate):
    result = translate(bundle, unlistable, tmp_path / "out")
    ((path, reason),) = result.failed
    assert result.num_translated == 1 and path.startswith(str(unlistable))
    assert reason == "the folder cannot be listed: File name too long"


def test_strict_reports_a_folder_that_cannot_be_listed_before_the_work(bundle, unlistable, tmp_path, images, translate):
    with pytest.raises(CycleganError, match=r"cannot be listed: File name too long\. No image was translated\.$"):
        translate(bundle, unlistable, tmp_path / "out", strict=True)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [entry["reason"] for entry in report["failed"]] == ["the folder cannot be listed: File name too long"]
    assert (report["translated"], images.files_in(tmp_path / "out")) == ([], [])


def test_strict_stops_at_the_first_failure_and_reports_it(bundle, photos, tmp_path, images, translate):
    (photos / "a.jpg").write_bytes(b"")
    for number in range(40):
        images.save(photos / f"b{number}.png", images.noise(64, 64))
    with pytest.raises(CycleganError, match=r"a\.jpg: the file is empty\. Translated and kept: \d+"):
        translate(bundle, photos, tmp_path / "out", strict=True)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["failed"] == [{"path": "a.jpg", "reason": "the file is empty"}]
    assert len(report["translated"]) == len(images.files_in(tmp_path / "out")) < 40


def test_foreign_page_is_refused_before_the_work(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").write_text("mine")
    with pytest.raises(UsageError, match=r"index\.html exists and is not a page of a gallery"):
        translate(bundle, photos, tmp_path / "out", gallery=True)
    assert images.files_in(tmp_path / "out") == ["index.html"]


@pytest.fixture(scope="module")
def damaged(bundle, tmp_path_factory, images, translate) -> tuple[list[str], Path]:
    """A gallery and a contact sheet of two images, made after the translation of the first was damaged."""
    folder = tmp_path_factory.mktemp("damaged")
    for name in "ab":
        images.save(folder / "photos" / f"{name}.png")
    translate(bundle, folder / "photos", folder / "out", gallery=True)
    (folder / "out" / "a.png").write_bytes(b"mine")
    lines: list[str] = []
    translate(bundle, folder / "photos", folder / "out", gallery=True, grid=folder / "sheet.png", say=lines.append)
    return lines, folder


def test_translation_that_has_been_damaged_is_named_once(damaged):
    lines, _ = damaged
    assert len(lines) == 1 and "a.png: it is not a BMP" in lines[0] and "This translation is not shown" in lines[0]


def test_translation_that_has_been_damaged_is_left_out_of_the_gallery(damaged):
    _, folder = damaged
    page = (folder / "out" / "index.html").read_text()
    assert '"b.png"' in page and '"a.png"' not in page


def test_translation_that_has_been_damaged_does_not_stop_the_contact_sheet(damaged):
    _, folder = damaged
    assert (folder / "sheet.png").is_file()
