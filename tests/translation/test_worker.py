import os

import numpy as np
import pytest
from PIL import Image

from cyclegan.bundles.bundle import load_bundle, save_bundle


@pytest.mark.parametrize(
    ("size", "padded_size"),
    [((8, 12), (8, 12)), ((37, 50), (40, 52)), ((3, 5), (8, 8)), ((2, 9), (8, 12)), ((1, 1), (8, 8))],
)
def test_any_size_is_reflected_translated_and_cropped(bundle, photos, tmp_path, size, padded_size, images, translate):
    pixels = images.noise(*size)
    images.save(photos / "noise.png", pixels)
    assert translate(bundle, photos, tmp_path / "out") == (1, 0, [])
    written = images.levels(tmp_path / "out" / "noise.png")
    expected = images.expected(bundle, "ab", pixels, *padded_size)
    assert expected.shape == written.shape == (*size, 3)
    np.testing.assert_allclose(written, expected, atol=0.51)  # rounded
    if min(size) > 1:
        assert expected.std() > 5


def test_direction_chooses_the_generator_and_its_channels(photos, tmp_path, images, translate, make_bundle):
    bundle = make_bundle(tmp_path / "bundle", channels_a=1, channels_b=3)
    grey, colour = images.noise(8, 8, 1), images.noise(8, 12)
    images.save(photos / "a" / "grey.png", grey[:, :, 0])
    images.save(photos / "b" / "colour.png", colour)
    translate(bundle, photos / "a", tmp_path / "ab", "ab")
    translate(bundle, photos / "b", tmp_path / "ba", "ba")
    to_colour = images.levels(tmp_path / "ab" / "grey.png")
    to_grey = images.levels(tmp_path / "ba" / "colour.png")[:, :, np.newaxis]
    np.testing.assert_allclose(to_colour, images.expected(bundle, "ab", grey, 8, 8), atol=0.51)
    np.testing.assert_allclose(to_grey, images.expected(bundle, "ba", colour, 8, 12), atol=0.51)


def test_value_range_of_the_bundle_is_used(photos, tmp_path, images, translate, make_bundle):
    """A 12-bit image in a 16-bit file is translated like the same image at 8 bits, to 12 bits in a 16-bit file."""
    levels = images.noise(8, 8, 1)[:, :, 0]
    bundle = make_bundle(tmp_path / "bundle", 1, 1, value_range=(0.0, 4080.0))
    images.save(photos / "a.png", levels.astype(np.uint16) * 16)
    translate(bundle, photos, tmp_path / "out")
    written = images.levels(tmp_path / "out" / "a.png")[:, :, np.newaxis]
    # In the units of the range, rounded.
    np.testing.assert_allclose(written, 16 * images.expected(bundle, "ab", levels[:, :, np.newaxis], 8, 8), atol=0.51)


def test_image_over_the_pixel_limit_of_the_bundle_is_named(photos, tmp_path, images, translate, make_bundle):
    bundle = make_bundle(tmp_path / "bundle", max_pixels=64)
    images.save(photos / "small.png")
    large = images.save(photos / "large.png", images.noise(8, 9))
    result = translate(bundle, photos, tmp_path / "out")
    assert [path for path, _ in result.failed] == [large.name]
    assert images.files_in(tmp_path / "out") == ["small.png"]


def test_broken_generator_writes_nothing(photos, tmp_path, images, translate, make_bundle):
    make_bundle(tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    generator = bundle.generator("ab")
    generator.set_weights([np.full_like(weight, 1e38) for weight in generator.get_weights()])
    save_bundle(tmp_path / "bundle", {"ab": generator}, bundle.info)
    image = images.save(photos / "a.png")
    result = translate(load_bundle(tmp_path / "bundle"), photos, tmp_path / "out")
    assert result.failed == [(image.name, "its translation contains values that are not finite")]
    assert images.files_in(tmp_path / "out") == []


def test_folder_in_the_place_of_an_output_does_not_stop_the_rest(bundle, photos, tmp_path, images, translate):
    for name in "ab":
        images.save(photos / f"{name}.jpg")
    (tmp_path / "out" / "a.png" / "taken").mkdir(parents=True)
    result = translate(bundle, photos, tmp_path / "out")
    assert [path for path, _ in result.failed] == ["a.jpg"]
    assert images.files_in(tmp_path / "out") == ["b.png"]


def test_a_broken_image_does_not_spoil_its_batch(bundle, photos, tmp_path, images, translate):
    for name in "abc":
        images.save(photos / f"{name}.png", images.noise(32, 32))
    whole = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(whole[: len(whole) // 2])  # its header is whole
    assert translate(bundle, photos, tmp_path / "out") == (2, 0, [("b.png", "the file is truncated")])
    assert images.files_in(tmp_path / "out") == ["a.png", "c.png"]


@pytest.mark.parametrize(
    ("file_format", "kind", "mode"), [("jpeg", "JPEG", "RGB"), ("webp", "WEBP", "RGBA"), ("png", "PNG", "RGBA")]
)
def test_formats_and_what_becomes_of_alpha(bundle, photos, tmp_path, file_format, kind, mode, images, translate):
    images.save(photos / "a.png", np.concatenate([images.noise(32, 32), np.full((32, 32, 1), 100, np.uint8)], axis=-1))
    translate(bundle, photos, tmp_path / "out", file_format=file_format)
    with Image.open(tmp_path / "out" / images.files_in(tmp_path / "out")[0]) as image:
        assert (image.format, image.mode) == (kind, mode)


def test_quality_is_that_of_the_file(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.png", images.noise(64, 64))
    for quality in (20, 95):
        translate(bundle, photos, tmp_path / str(quality), file_format="jpeg", quality=quality)
    assert (tmp_path / "20" / "a.jpg").stat().st_size < (tmp_path / "95" / "a.jpg").stat().st_size / 2


def test_the_way_back_is_the_other_generator_on_the_translation(bundle, photos, tmp_path, images, translate):
    pixels = images.noise(16, 12)
    images.save(photos / "a.png", pixels)
    translate(bundle, photos, tmp_path / "out", cycle=True)
    assert images.files_in(tmp_path / "out") == ["a.cycled.png", "a.png"]
    there = bundle.generator("ab")(pixels[np.newaxis] / np.float32(127.5) - 1)
    expected = (bundle.generator("ba")(there).numpy()[0] + 1) * 127.5
    np.testing.assert_allclose(images.levels(tmp_path / "out" / "a.cycled.png"), expected, atol=0.51)
    (tmp_path / "out" / "a.cycled.png").unlink()
    assert translate(bundle, photos, tmp_path / "out", cycle=True).num_translated == 1  # only what is missing


@pytest.mark.parametrize(("file_format", "largest"), [("webp", 16383), ("jpeg", 65500)])
def test_image_too_large_for_the_format_is_named_and_the_rest_translated(
    bundle, photos, tmp_path, file_format, largest, images, translate
):
    for width in (largest, largest + 1):
        images.save(photos / f"{width}.png", np.zeros((8, width), np.uint8))
    result = translate(bundle, photos, tmp_path / "out", file_format=file_format, size="native")
    ((name, reason),) = result.failed
    assert result.num_translated == 1 and name == f"{largest + 1}.png"
    assert reason == (
        f"{largest + 1} x 8 pixels: a side of a {file_format} file has at most {largest:,}. Choose `--format png`"
    )


def test_gallery_shows_a_smaller_picture_of_an_image_too_large_for_webp(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.png", np.zeros((8, 17_000), np.uint8))
    assert translate(bundle, photos, tmp_path / "out", gallery=True, size="native").num_translated == 1
    with Image.open(tmp_path / "out" / "gallery" / "a.png.webp") as picture:
        assert picture.size == (8_500, 4)
    assert 'src="gallery/a.png.webp" width="17000" height="8"' in (tmp_path / "out" / "index.html").read_text()


def test_names_as_long_as_the_disk_allows_do_not_stop_the_rest(bundle, photos, tmp_path, images, translate):
    long = 255 - len(".jpg")
    for name in ("ok.png", "x" * long + ".jpg", "y" * long + ".bmp"):
        images.save(photos / name)
    result = translate(bundle, photos, tmp_path / "out", file_format="webp")  # one letter more
    assert result.num_translated == 1
    assert all("cannot be written: File name too long" in reason for _, reason in result.failed)
    assert translate(bundle, photos, tmp_path / "png").num_translated == 3


def test_a_pipe_among_the_images_is_named(bundle, photos, tmp_path, images, translate):
    os.mkfifo(photos / "a.png")
    images.save(photos / "b.png")
    assert translate(bundle, photos, tmp_path / "out") == (1, 0, [("a.png", "it is not a regular file")])


def test_max_pixels_replaces_that_of_the_bundle(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.png", images.noise(8, 9))
    assert translate(bundle, photos, tmp_path / "out", max_pixels=71).failed == [
        ("a.png", "it has 9 x 8 pixels, and at most 71 are allowed"),
    ]
