import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
from PIL import Image

from cyclegan.bundle import Bundle, BundleInfo, Provenance, load_bundle, save_bundle
from cyclegan.config.sections import GeneratorConfig
from cyclegan.errors import CycleganError, UsageError
from cyclegan.networks.generators import build_generator
from cyclegan.translation.engine import Settings
from cyclegan.translation.folder import translate_images


def _save_bundle(folder: Path, channels_a: int = 3, channels_b: int = 3, **changes) -> Bundle:
    """Tiny, untrained, but far from the identity and from a constant."""
    keras.utils.set_random_seed(1)
    config = GeneratorConfig(filters=4, num_blocks=1)
    generators = {
        "ab": build_generator(config, channels_a, channels_b),
        "ba": build_generator(config, channels_b, channels_a),
    }
    info = BundleInfo(
        generator=config,
        channels_a=channels_a,
        channels_b=channels_b,
        crop_size=64,
        value_range=changes.pop("value_range", None),
        max_pixels=changes.pop("max_pixels", 100_000_000),
        size_multiple=4,
        min_size=8,
        provenance=Provenance(dataset="none", step=0, config={}, versions={}),
    )
    save_bundle(folder, generators, info)
    return load_bundle(folder)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return _save_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def _noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, channels), np.uint8)


def _save(path: Path, pixels: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_noise(8, 8) if pixels is None else pixels).save(path)
    return path


class Result(NamedTuple):
    num_translated: int
    num_skipped: int
    failed: list[tuple[str, str]]


def _run(bundle: Bundle, input: Path, output: Path, direction: str = "ab", **options) -> Result:
    keys = {"report", "progress", "file_format", "cycle", "gallery", "grid", "devices", "engine", "strict"}
    others = {"report": print, **{key: options.pop(key) for key in keys & options.keys()}}
    report = translate_images(bundle, [input], output, Settings(direction, **options), **others)
    failed = [(entry["path"], entry["reason"]) for entry in report.failed]
    return Result(len(report.translated), len(report.skipped), failed)


def _levels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image, np.float32)


def _files(folder: Path) -> list[str]:
    """Everything there but folders and the report: temporary and hidden files too."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in files if name != "report.json")


def _reflected(size: int, padded_size: int) -> list[int]:
    """Indices that go up and down between both edges: 0 1 2 1 0 1 2 ..."""
    if size == 1:
        return [0] * padded_size
    return [min(i % (2 * size - 2), -i % (2 * size - 2)) for i in range(padded_size)]


def _expected(bundle: Bundle, direction: str, pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Padded to height x width by indexing, translated, cropped, as levels of 0 to 255."""
    padded = pixels[_reflected(pixels.shape[0], height)][:, _reflected(pixels.shape[1], width)]
    output = bundle.generator(direction)(padded[np.newaxis].astype(np.float32) / 127.5 - 1).numpy()[0]
    return (output[: pixels.shape[0], : pixels.shape[1]] + 1) * 127.5


@pytest.mark.parametrize(
    ("size", "padded_size"),
    [((8, 12), (8, 12)), ((37, 50), (40, 52)), ((3, 5), (8, 8)), ((2, 9), (8, 12)), ((1, 1), (8, 8))],
)
def test_any_size_is_reflected_translated_and_cropped(bundle, photos, tmp_path, size, padded_size):
    pixels = _noise(*size)
    _save(photos / "noise.png", pixels)
    assert _run(bundle, photos, tmp_path / "out") == Result(1, 0, [])
    written = _levels(tmp_path / "out" / "noise.png")
    expected = _expected(bundle, "ab", pixels, *padded_size)
    assert expected.shape == written.shape == (*size, 3)
    np.testing.assert_allclose(written, expected, atol=0.51)  # rounded
    if min(size) > 1:
        assert expected.std() > 5


def test_direction_chooses_the_generator_and_its_channels(photos, tmp_path):
    bundle = _save_bundle(tmp_path / "bundle", channels_a=1, channels_b=3)
    grey, colour = _noise(8, 8, 1), _noise(8, 12)
    _save(photos / "a" / "grey.png", grey[:, :, 0])
    _save(photos / "b" / "colour.png", colour)
    _run(bundle, photos / "a", tmp_path / "ab", "ab")
    _run(bundle, photos / "b", tmp_path / "ba", "ba")
    to_colour = _levels(tmp_path / "ab" / "grey.png")
    to_grey = _levels(tmp_path / "ba" / "colour.png")[:, :, np.newaxis]
    np.testing.assert_allclose(to_colour, _expected(bundle, "ab", grey, 8, 8), atol=0.51)
    np.testing.assert_allclose(to_grey, _expected(bundle, "ba", colour, 8, 12), atol=0.51)


def test_value_range_of_the_bundle_is_used(photos, tmp_path):
    """A 12-bit image in a 16-bit file is translated like the same image at 8 bits, to 12 bits in a 16-bit file."""
    levels = _noise(8, 8, 1)[:, :, 0]
    bundle = _save_bundle(tmp_path / "bundle", 1, 1, value_range=(0.0, 4080.0))
    _save(photos / "a.png", levels.astype(np.uint16) * 16)
    _run(bundle, photos, tmp_path / "out")
    written = _levels(tmp_path / "out" / "a.png")[:, :, np.newaxis]
    # In the units of the range, rounded.
    np.testing.assert_allclose(written, 16 * _expected(bundle, "ab", levels[:, :, np.newaxis], 8, 8), atol=0.51)


def test_real_folder_comes_out_whole_and_upright_and_broken_images_are_named(bundle, shared, tmp_path):
    sizes = {  # width, height
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
    lines: list[str] = []
    result = _run(bundle, shared / "awkward_images", tmp_path / "out", report=lines.append, size="native")

    failed = {path for path, _ in result.failed}
    assert failed - {"bitflips.jpg"} == {"bomb.png", "empty.jpg", "text.jpg", "truncated.jpg"}
    folder = shared / "awkward_images"
    said = {f"{folder / path}: {reason}" for path, reason in result.failed}
    assert said < set(lines) and [line.split(":")[0] for line in lines if line not in said] == [
        str(folder / "animated.gif")
    ]
    assert all(reason and "\n" not in reason for _, reason in result.failed)
    if "bitflips.jpg" not in failed:  # decoders differ
        sizes["bitflips.png"] = (256, 256)
    assert _files(tmp_path / "out") == sorted(sizes)
    alpha = {"gray_alpha.png", "transparent.png"}
    for name, size in sizes.items():
        with Image.open(tmp_path / "out" / name) as image:
            image.load()
            mode = "RGBA" if name in alpha else "RGB"
            assert (name, image.size, image.mode, image.format) == (name, size, mode, "PNG")
    assert (result.num_translated, result.num_skipped) == (len(sizes), 0)


def test_images_that_would_share_a_name_keep_their_suffix(bundle, photos, tmp_path):
    for name in ("one.jpg", "two.jpg", "two.bmp", "two.jpg.gif", "Case.jpg", "case.png"):
        _save(photos / name)
    assert _run(bundle, photos, tmp_path / "out").num_translated == 6
    assert _files(tmp_path / "out") == [
        "Case.jpg.png",
        "case.png.png",
        "one.png",
        "two.bmp.png",
        "two.jpg.gif.png",
        "two.jpg.png",
    ]


def test_existing_outputs_are_skipped_unless_overwritten(bundle, photos, tmp_path):
    _save(photos / "a.jpg")
    _save(photos / "b.jpg")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    assert _run(bundle, photos, out) == Result(1, 1, [])
    assert (out / "a.png").read_bytes() == b"mine"
    assert _run(bundle, photos, out) == Result(0, 2, [])
    assert _run(bundle, photos, out, overwrite=True) == Result(2, 0, [])
    assert _levels(out / "a.png").shape == (8, 8, 3)


def test_progress_counts_translated_and_failed_images_up_to_the_total(bundle, photos, tmp_path):
    _save(photos / "a.jpg")
    (photos / "b.jpg").write_text("not an image")
    _save(photos / "c.jpg")
    calls: list[tuple[int, int]] = []
    _run(bundle, photos, tmp_path / "out", progress=lambda done, total, _: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_image_over_the_pixel_limit_of_the_bundle_is_named(photos, tmp_path):
    bundle = _save_bundle(tmp_path / "bundle", max_pixels=64)
    _save(photos / "small.png")
    large = _save(photos / "large.png", _noise(8, 9))
    result = _run(bundle, photos, tmp_path / "out")
    assert [path for path, _ in result.failed] == [large.name]
    assert _files(tmp_path / "out") == ["small.png"]


def test_broken_generator_writes_nothing(photos, tmp_path):
    _save_bundle(tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    generator = bundle.generator("ab")
    generator.set_weights([np.full_like(weight, 1e38) for weight in generator.get_weights()])
    save_bundle(tmp_path / "bundle", {"ab": generator}, bundle.info)
    image = _save(photos / "a.png")
    result = _run(load_bundle(tmp_path / "bundle"), photos, tmp_path / "out")
    assert result.failed == [(image.name, "its translation holds values that are not finite")]
    assert _files(tmp_path / "out") == []


def test_interrupted_work_leaves_whole_files_and_is_continued(bundle, photos, tmp_path):
    for number in range(40):
        _save(photos / f"{number}.jpg", _noise(64, 64))

    def interrupt(done: int, total: int, speed: float) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(bundle, photos, tmp_path / "out", progress=interrupt)
    kept = _files(tmp_path / "out")
    assert 2 <= len(kept) < 40 and all(_levels(tmp_path / "out" / name).shape == (64, 64, 3) for name in kept)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert sorted(f"{Path(name).stem}.png" for name in report["translated"]) == kept
    assert _run(bundle, photos, tmp_path / "out") == Result(40 - len(kept), len(kept), [])


def test_write_error_ends_the_work_in_one_line_and_keeps_what_is_done(bundle, photos, tmp_path):
    _save(photos / "a.png")
    _save(photos / "b.png", _noise(64, 64))
    _save(photos / "c.png")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # 64 x 64 of noise needs more
    try:
        with pytest.raises(CycleganError) as error:
            _run(bundle, photos, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept = _files(tmp_path / "out")
    assert str(error.value).startswith(f"{tmp_path / 'out' / 'b.png'} cannot be written: File too large. Translated")
    assert kept == ["a.png", "c.png"]  # of one size, and so of one batch
    assert _run(bundle, photos, tmp_path / "out") == Result(1, 2, [])


def test_folder_in_the_place_of_an_output_does_not_stop_the_rest(bundle, photos, tmp_path):
    for name in "ab":
        _save(photos / f"{name}.jpg")
    (tmp_path / "out" / "a.png" / "taken").mkdir(parents=True)
    result = _run(bundle, photos, tmp_path / "out")
    assert [path for path, _ in result.failed] == ["a.jpg"]
    assert _files(tmp_path / "out") == ["b.png"]


@pytest.mark.parametrize(
    "output", ["photos", "photos/out", "photos/x/../../photos", "link", "link/out", "new/../photos"]
)
def test_output_in_the_input_is_refused(bundle, photos, tmp_path, output):
    _save(photos / "x" / "a.jpg")
    (tmp_path / "link").symlink_to(photos)
    with pytest.raises(UsageError, match="is in the input"):
        _run(bundle, photos, tmp_path / output)
    assert _files(photos) == ["x/a.jpg"]


def test_output_around_the_input_never_writes_into_it(bundle, photos, tmp_path):
    _save(photos / "photos" / "a.png")
    with pytest.raises(UsageError, match="is in the input"):
        _run(bundle, photos, tmp_path, overwrite=True)
    _save(photos / "b.jpg")
    (photos / "photos" / "a.png").unlink()
    assert _run(bundle, photos, tmp_path).num_translated == 1
    assert (tmp_path / "b.png").is_file()


def test_link_out_of_the_output_is_refused(bundle, photos, tmp_path):
    _save(photos / "x" / "a.jpg")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="leads out of the output"):
        _run(bundle, photos, tmp_path / "out")
    assert _files(tmp_path / "elsewhere") == []


def test_missing_input_and_input_without_images_are_refused(bundle, photos, tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        _run(bundle, tmp_path / "missing", tmp_path / "out")
    (photos / "notes.txt").write_text("no image")
    with pytest.raises(UsageError, match=r"no images\. Looked for \.bmp \.gif \.jpeg \.jpg \.png"):
        _run(bundle, photos, tmp_path / "out")
    _save(photos / "a.jpg")
    with pytest.raises(UsageError, match="must be a folder"):
        _run(bundle, photos, photos / "notes.txt")
    assert not (tmp_path / "out").exists()


def test_one_image_goes_into_a_folder_or_to_a_png(bundle, photos, tmp_path):
    image = _save(photos / "a.jpg")
    assert _run(bundle, image, tmp_path / "out") == Result(1, 0, [])
    assert _run(bundle, image, tmp_path / "other" / "b.png") == Result(1, 0, [])
    assert _run(bundle, image, photos) == Result(1, 0, [])
    assert _run(bundle, image, tmp_path / "b.webp") == Result(1, 0, [])
    reports = ["out/report.json", "photos/report.json"]
    assert _files(tmp_path) == sorted(["b.webp", "other/b.png", "out/a.png", "photos/a.jpg", "photos/a.png", *reports])
    with pytest.raises(UsageError, match="end in .png"):
        _run(bundle, image, tmp_path / "b.bmp")
    with pytest.raises(UsageError, match="as `--format` has it"):
        _run(bundle, image, tmp_path / "b.jpg", file_format="webp")
    with pytest.raises(UsageError, match="would overwrite the input"):
        _run(bundle, photos / "a.png", photos, overwrite=True)


def test_the_report_says_what_became_of_each_image(bundle, photos, tmp_path):
    for name in ("b.jpg", "a.jpg", "x/same.jpg", "x/same.bmp"):
        _save(photos / name)
    (photos / "broken.png").write_text("not an image")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    _run(bundle, photos, out)
    report = json.loads((out / "report.json").read_text())
    assert report["translated"] == ["b.jpg", "x/same.bmp", "x/same.jpg"]
    assert report["skipped"] == ["a.jpg"]
    assert [entry["path"] for entry in report["failed"]] == ["broken.png"]
    assert report["renamed"] == {"x/same.bmp": "x/same.bmp.png", "x/same.jpg": "x/same.jpg.png"}
    assert report["settings"]["direction"] == "ab" and report["images_per_second"] > 0
    assert report["model"]["weights_sha256"]["ab"] == bundle.info.weights["ab"].sha256


def test_images_of_many_sizes_are_translated_each_for_itself(bundle, photos, tmp_path):
    """More images than are looked at ahead, their sizes mixed, and one graph for all."""
    sizes = [(8 + 4 * (number % 7), 8 + 4 * (number % 5)) for number in range(80)]
    for number, size in enumerate(sizes):
        _save(photos / f"{number}.png", np.roll(_noise(*size), number, axis=0))
    assert _run(bundle, photos, tmp_path / "out").num_translated == 80
    for number, size in list(enumerate(sizes))[::9]:
        expected = _expected(bundle, "ab", np.roll(_noise(*size), number, axis=0), *size)
        np.testing.assert_allclose(_levels(tmp_path / "out" / f"{number}.png"), expected, atol=0.51)


def test_a_broken_image_does_not_spoil_its_batch(bundle, photos, tmp_path):
    for name in "abc":
        _save(photos / f"{name}.png", _noise(32, 32))
    whole = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(whole[: len(whole) // 2])  # its header is whole
    assert _run(bundle, photos, tmp_path / "out") == Result(2, 0, [("b.png", "the file is truncated")])
    assert _files(tmp_path / "out") == ["a.png", "c.png"]


@pytest.mark.parametrize(
    ("file_format", "kind", "mode"), [("jpeg", "JPEG", "RGB"), ("webp", "WEBP", "RGBA"), ("png", "PNG", "RGBA")]
)
def test_formats_and_what_becomes_of_alpha(bundle, photos, tmp_path, file_format, kind, mode):
    _save(photos / "a.png", np.concatenate([_noise(32, 32), np.full((32, 32, 1), 100, np.uint8)], axis=-1))
    _run(bundle, photos, tmp_path / "out", file_format=file_format)
    with Image.open(tmp_path / "out" / _files(tmp_path / "out")[0]) as image:
        assert (image.format, image.mode) == (kind, mode)


def test_quality_is_that_of_the_file(bundle, photos, tmp_path):
    _save(photos / "a.png", _noise(64, 64))
    for quality in (20, 95):
        _run(bundle, photos, tmp_path / str(quality), file_format="jpeg", quality=quality)
    assert (tmp_path / "20" / "a.jpg").stat().st_size < (tmp_path / "95" / "a.jpg").stat().st_size / 2


def test_the_way_back_is_the_other_generator_on_the_translation(bundle, photos, tmp_path):
    pixels = _noise(16, 12)
    _save(photos / "a.png", pixels)
    _run(bundle, photos, tmp_path / "out", cycle=True)
    assert _files(tmp_path / "out") == ["a.cycled.png", "a.png"]
    there = bundle.generator("ab")(pixels[np.newaxis] / np.float32(127.5) - 1)
    expected = (bundle.generator("ba")(there).numpy()[0] + 1) * 127.5
    np.testing.assert_allclose(_levels(tmp_path / "out" / "a.cycled.png"), expected, atol=0.51)
    (tmp_path / "out" / "a.cycled.png").unlink()
    assert _run(bundle, photos, tmp_path / "out", cycle=True).num_translated == 1  # only what is missing


def test_gallery_and_contact_sheet_show_all_images_also_those_of_earlier_calls(bundle, photos, tmp_path):
    _save(photos / "a.png", _noise(16, 12))
    _run(bundle, photos, tmp_path / "out", gallery=True, cycle=True)
    _save(photos / "b.bmp", _noise(16, 20))
    _run(bundle, photos, tmp_path / "out", gallery=True, cycle=True, grid=tmp_path / "sheets" / "sheet.jpg")
    page = (tmp_path / "out" / "index.html").read_text()
    for name in ("a.png", "a.cycled.png", "gallery/a.png.webp", "b.png", "b.cycled.png", "gallery/b.bmp.webp"):
        assert f'"{name}"' in page and (tmp_path / "out" / name).is_file()
    with Image.open(tmp_path / "sheets" / "sheet.jpg") as sheet:
        assert sheet.width > 3 * 192


@pytest.mark.parametrize(("file_format", "largest"), [("webp", 16383), ("jpeg", 65500)])
def test_image_too_large_for_the_format_is_named_and_the_rest_translated(
    bundle, photos, tmp_path, file_format, largest
):
    for width in (largest, largest + 1):
        _save(photos / f"{width}.png", np.zeros((8, width), np.uint8))
    result = _run(bundle, photos, tmp_path / "out", file_format=file_format, size="native")
    ((name, reason),) = result.failed
    assert result.num_translated == 1 and name == f"{largest + 1}.png"
    assert reason == (
        f"{largest + 1} x 8 pixels: a {file_format} file has at most {largest:,} a side. Choose `--format png`"
    )


def test_gallery_shows_a_smaller_picture_of_an_image_too_large_for_webp(bundle, photos, tmp_path):
    _save(photos / "a.png", np.zeros((8, 17_000), np.uint8))
    assert _run(bundle, photos, tmp_path / "out", gallery=True, size="native").num_translated == 1
    with Image.open(tmp_path / "out" / "gallery" / "a.png.webp") as picture:
        assert picture.size == (8_500, 4)
    assert 'src="gallery/a.png.webp" width="17000" height="8"' in (tmp_path / "out" / "index.html").read_text()


def test_contact_sheet_shows_the_value_range_of_the_model(photos, tmp_path):
    """Black, the middle and white of the range, in the input and, from 0 on, in the 16 bits of the output."""
    bundle = _save_bundle(tmp_path / "bundle", 1, 1, value_range=(-1000.0, 3000.0))
    ramp = np.linspace(-1000, 3000, 64, dtype=np.float32)
    Image.fromarray(np.repeat(ramp[np.newaxis], 64, axis=0)).save(photos / "a.tif")
    _run(bundle, photos, tmp_path / "out", grid=tmp_path / "sheet.png")
    translated = _levels(tmp_path / "out" / "a.png") / 4000 * 255
    sheet = _levels(tmp_path / "sheet.png")[..., 0]
    tiles = sheet[24 + 28 : 24 + 28 + 192, 24 : 24 + 192], sheet[24 + 28 : 24 + 28 + 192, 24 + 196 : 24 + 196 + 192]
    for tile, expected in zip(tiles, ((ramp + 1000) / 4000 * 255, translated), strict=True):
        np.testing.assert_allclose(tile[1::3, 1::3], np.broadcast_to(expected, (64, 64)), atol=1)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("photos/a.png", "would overwrite the input"),
        ("sheet.png", "sheet.png is there already"),
        ("out/a.png", "is the translation of an image"),
    ],
)
def test_a_contact_sheet_replaces_nothing(bundle, photos, tmp_path, grid, message):
    _save(photos / "a.png")
    (tmp_path / "sheet.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match=message):
        _run(bundle, photos, tmp_path / "out", grid=tmp_path / grid)
    assert (tmp_path / "sheet.png").read_bytes() == b"mine" and not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ['{"mine": 1}', "[]", "3", "no JSON"])
def test_a_report_of_somebody_else_is_not_replaced(bundle, photos, tmp_path, content):
    _save(photos / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text(content)
    with pytest.raises(UsageError, match=r"report\.json is there and no report of ours"):
        _run(bundle, photos, tmp_path / "out")
    assert (tmp_path / "out" / "report.json").read_text() == content


def test_names_as_long_as_the_disk_allows_do_not_stop_the_rest(bundle, photos, tmp_path):
    long = 255 - len(".jpg")
    for name in ("ok.png", "x" * long + ".jpg", "y" * long + ".bmp"):
        _save(photos / name)
    result = _run(bundle, photos, tmp_path / "out", file_format="webp")  # one letter more
    assert result.num_translated == 1
    assert all("cannot be written: File name too long" in reason for _, reason in result.failed)
    assert _run(bundle, photos, tmp_path / "png").num_translated == 3


def test_a_pipe_among_the_images_is_named(bundle, photos, tmp_path):
    os.mkfifo(photos / "a.png")
    _save(photos / "b.png")
    assert _run(bundle, photos, tmp_path / "out") == (1, 0, [("a.png", "it is not a regular file")])


def test_a_folder_that_cannot_be_listed_does_not_stop_the_rest(bundle, photos, tmp_path, monkeypatch):
    _save(photos / "a.png")
    monkeypatch.chdir(photos)
    for _ in range(20):  # to a path longer than the system takes
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    result = _run(bundle, photos, tmp_path / "out")
    monkeypatch.undo()
    shutil.rmtree(photos)
    ((path, reason),) = result.failed
    assert (
        result.num_translated == 1 and path.startswith(str(photos)) and reason == "cannot be listed: File name too long"
    )


def test_a_damaged_translation_of_an_earlier_call_is_left_out_of_the_gallery(bundle, photos, tmp_path):
    for name in "ab":
        _save(photos / f"{name}.png")
    _run(bundle, photos, tmp_path / "out", gallery=True)
    (tmp_path / "out" / "a.png").write_bytes(b"mine")
    lines = []
    _run(bundle, photos, tmp_path / "out", gallery=True, grid=tmp_path / "sheet.png", report=lines.append)
    assert len(lines) == 1 and "a.png: it is not a BMP" in lines[0] and "It is not shown" in lines[0]
    page = (tmp_path / "out" / "index.html").read_text()
    assert '"b.png"' in page and '"a.png"' not in page and (tmp_path / "sheet.png").is_file()


def test_the_report_of_an_interrupted_call_names_all_that_was_written(bundle, photos, tmp_path):
    for number in range(40):
        _save(photos / f"{number:02}.png", _noise(64, 64))
    _run(bundle, photos, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}

    def interrupt(done: int, total: int, speed: float) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(bundle, photos, tmp_path / "out", overwrite=True, progress=interrupt)
    written = sorted(path.name for path, time in before.items() if path.stat().st_mtime_ns != time)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["translated"] == written and 5 <= len(written) < 40


def test_strict_stops_at_the_first_failure_and_reports_it(bundle, photos, tmp_path):
    (photos / "a.jpg").write_bytes(b"")
    for number in range(40):
        _save(photos / f"b{number}.png", _noise(64, 64))
    with pytest.raises(CycleganError, match=r"a\.jpg: the file is empty\. Translated before and kept: \d+"):
        _run(bundle, photos, tmp_path / "out", strict=True)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["failed"] == [{"path": "a.jpg", "reason": "the file is empty"}]
    assert len(report["translated"]) == len(_files(tmp_path / "out")) < 40


def test_what_was_scaled_or_cut_into_strips_is_noted_and_said_once(bundle, photos, tmp_path):
    for name in "ab":
        _save(photos / f"{name}.png", _noise(136, 140))
    lines: list[str] = []
    _run(bundle, photos, tmp_path / "auto", report=lines.append)
    notes = json.loads((tmp_path / "auto" / "report.json").read_text())["notes"]
    assert [entry["path"] for entry in notes] == ["a.png", "b.png"]
    assert {entry["note"] for entry in notes} == {"translated at 132 x 128 pixels and scaled back"}
    assert len(lines) == 1
    _run(bundle, photos, tmp_path / "native", size="native", tile=32)
    notes = json.loads((tmp_path / "native" / "report.json").read_text())["notes"]
    assert {entry["note"] for entry in notes} == {"translated in strips of 32 rows, because of its size"}
    assert _levels(tmp_path / "auto" / "a.png").shape == (136, 140, 3)


def test_max_pixels_replaces_that_of_the_bundle(bundle, photos, tmp_path):
    _save(photos / "a.png", _noise(8, 9))
    assert _run(bundle, photos, tmp_path / "out", max_pixels=71).failed == [
        ("a.png", "it has 9 x 8 pixels, and at most 71 are allowed"),
    ]


@pytest.mark.slow
def test_devices_share_the_images(photos, tmp_path):
    """In a process of its own, because TensorFlow makes logical devices only at its start."""
    _save_bundle(tmp_path / "bundle")
    for number in range(12):
        _save(photos / f"{number}.png", _noise(16, 16 + number))
    command = [sys.executable, "-m", "cyclegan", "translate", photos]
    options = ["--model", tmp_path / "bundle", "--direction", "ab", "--devices"]
    for devices in ("cpu", "cpu:2"):
        subprocess.run([*command, tmp_path / devices, *options, devices], check=True, timeout=200)
    for number in range(12):
        one, two = (_levels(tmp_path / devices / f"{number}.png") for devices in ("cpu", "cpu:2"))
        np.testing.assert_allclose(one, two, atol=1)


@pytest.mark.slow
def test_ray_does_the_same_work(bundle, photos, tmp_path):
    pytest.importorskip("ray", reason="needs the extra `ray`")
    for number in range(6):
        _save(photos / f"{number}.png", _noise(16, 16 + 4 * number))
    (photos / "broken.png").write_text("not an image")
    command = [sys.executable, "-m", "cyclegan", "translate", photos]
    options = ["--model", bundle.folder, "--direction", "ab", "--cycle", "--engine"]
    codes = [
        subprocess.run([*command, tmp_path / engine, *options, engine], timeout=300).returncode
        for engine in ("local", "ray")
    ]
    assert codes == [1, 1]
    local, ray = (json.loads((tmp_path / engine / "report.json").read_text()) for engine in ("local", "ray"))
    assert (local["translated"], local["failed"]) == (ray["translated"], ray["failed"])
    for name in _files(tmp_path / "local"):
        np.testing.assert_allclose(_levels(tmp_path / "local" / name), _levels(tmp_path / "ray" / name), atol=1)


def test_names_that_are_no_utf_8_come_out_and_are_reported(bundle, photos, tmp_path):
    name = os.fsdecode(b"\xff\xe4.png")
    _save(photos / name)
    assert _run(bundle, photos, tmp_path / "out", gallery=True).num_translated == 1
    assert json.loads((tmp_path / "out" / "report.json").read_text())["translated"] == [name]
    assert (tmp_path / "out" / name).is_file()


def test_a_page_of_somebody_else_is_refused_before_the_work(bundle, photos, tmp_path):
    _save(photos / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").write_text("mine")
    with pytest.raises(UsageError, match=r"index\.html is there and no page of a gallery"):
        _run(bundle, photos, tmp_path / "out", gallery=True)
    assert _files(tmp_path / "out") == ["index.html"]
