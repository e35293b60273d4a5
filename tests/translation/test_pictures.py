import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cyclegan.bundles.bundle import load_bundle, save_bundle


@pytest.fixture
def deep(photos, tmp_path, images, make_bundle):
    """A model of grey images with 12 bits, and one such image: a ramp."""
    ramp = np.linspace(0, 4080, 64).astype(np.uint16)
    images.save(photos / "a.png", np.repeat(ramp[np.newaxis], 64, axis=0))
    return make_bundle(tmp_path / "bundle", 1, 1, value_range=(0.0, 4080.0))


def _grey(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), np.float32)


def test_a_gallery_of_finished_work_runs_no_network(photos, tmp_path, images, translate, make_bundle):
    """The weights are replaced by such that make every translation fail."""
    bundle = make_bundle(tmp_path / "bundle")
    image = images.save(photos / "a.png", images.noise(16, 12))
    translate(bundle, photos, tmp_path / "out")
    written = (tmp_path / "out" / "a.png").read_bytes()
    generator = bundle.generator("ab")
    generator.set_weights([np.full_like(weight, 1e38) for weight in generator.get_weights()])
    save_bundle(tmp_path / "bundle", {"ab": generator}, bundle.info)

    assert translate(load_bundle(tmp_path / "bundle"), photos, tmp_path / "out", gallery=True) == (0, 1, [])
    assert (tmp_path / "out" / "a.png").read_bytes() == written
    shown = _grey(tmp_path / "out" / "gallery" / f"{image.name}.webp")
    assert shown.shape == (16, 12) and '"gallery/a.png.webp"' in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize(("name", "source"), [("a.png.webp", "photos/a.png"), ("a.png.output.webp", "out/a.png")])
def test_pictures_of_12_bits_go_from_black_to_white(deep, photos, tmp_path, name, source, translate, images):
    translate(deep, photos, tmp_path / "out", gallery=True)
    expected = images.levels(tmp_path / source) / 16  # 4080 = 16 * 255
    shown = _grey(tmp_path / "out" / "gallery" / name)
    assert expected.max() > 100 and np.abs(shown - expected).mean() < 3  # WebP is lossy
    assert f'src="gallery/{name}"' in (tmp_path / "out" / "index.html").read_text()


def test_colours_of_12_bits_keep_their_shades(photos, tmp_path, images, translate, make_bundle):
    """In the gallery, and in the contact sheet, whose tiles of 192 pixels repeat each pixel three times."""
    bundle = make_bundle(tmp_path / "bundle", 3, 3, value_range=(0.0, 4080.0))
    ramp = np.linspace(0, 4080, 64).astype(np.uint16)
    images.save(photos / "a.png", np.repeat(ramp[np.newaxis], 64, axis=0))
    translate(bundle, photos, tmp_path / "out", gallery=True, grid=tmp_path / "sheet.png")
    written = tf.io.decode_png((tmp_path / "out" / "a.png").read_bytes(), dtype=tf.uint16).numpy() / 16
    assert len(np.unique(written)) > 100
    luma = np.array([0.299, 0.587, 0.114])
    shown = images.levels(tmp_path / "out" / "gallery" / "a.png.output.webp") @ luma
    tile = images.levels(tmp_path / "sheet.png")[24 + 28 : 24 + 28 + 192, 24 + 196 : 24 + 196 + 192]
    assert np.abs(shown - written @ luma).mean() < 3  # WebP is lossy, most of all in colours
    np.testing.assert_allclose(tile[1::3, 1::3], written, atol=1)


def test_a_translation_of_the_whole_range_is_shown_itself(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.png")
    translate(bundle, photos, tmp_path / "out", gallery=True)
    assert images.files_in(tmp_path / "out") == ["a.png", "gallery/a.png.webp", "index.html"]


@pytest.mark.parametrize("change", ["older", "damaged", "missing"])
def test_a_picture_that_does_not_show_its_translation_is_made_again(deep, photos, tmp_path, change, translate):
    translate(deep, photos, tmp_path / "out", gallery=True)
    picture = tmp_path / "out" / "gallery" / "a.png.output.webp"
    right = picture.read_bytes()
    if change == "older":
        Image.new("L", (64, 64)).save(picture)
        os.utime(picture, (0, 0))
    elif change == "damaged":
        picture.write_bytes(b"damaged")
    else:
        picture.unlink()
    translate(deep, photos, tmp_path / "out", gallery=True)
    assert picture.read_bytes() == right


def test_a_picture_that_is_newer_than_its_translation_is_kept(deep, photos, tmp_path, translate):
    translate(deep, photos, tmp_path / "out", gallery=True)
    picture = tmp_path / "out" / "gallery" / "a.png.output.webp"
    before = picture.stat().st_mtime_ns
    translate(deep, photos, tmp_path / "out", gallery=True)
    assert picture.stat().st_mtime_ns == before


def test_an_input_that_can_no_longer_be_read_is_named_and_left_out(bundle, photos, tmp_path, images, translate):
    for name in "ab":
        images.save(photos / f"{name}.png")
    translate(bundle, photos, tmp_path / "out")
    (photos / "a.png").write_bytes(b"damaged")
    lines: list[str] = []
    assert translate(bundle, photos, tmp_path / "out", gallery=True, say=lines.append) == (0, 2, [])
    assert len(lines) == 1 and lines[0].startswith(f"{photos / 'a.png'}: it is not a ")
    assert lines[0].endswith("This image is not shown.")
    page = (tmp_path / "out" / "index.html").read_text()
    assert '"b.png"' in page and '"a.png"' not in page
