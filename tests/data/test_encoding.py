import io

import numpy as np
import pytest
from PIL import Image

from cyclegan.data.decoding import decode
from cyclegan.data.encoding import LARGEST_SIDE, encode


def image_of(data):
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image


def levels(pixels):
    """Levels 0 to 255 as values in [-1, 1]."""
    return (np.asarray(pixels, np.float32) / 127.5 - 1)[np.newaxis]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_a_png_holds_the_same_levels(channels, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, channels), np.uint8)
    image = image_of(encode(pixels / np.float32(127.5) - 1))
    assert (image.mode, image.format) == (mode, "PNG")
    assert np.array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_values_are_rounded_and_clipped_and_nan_is_black():
    image = np.array([[-3, -1, 100.4 / 127.5 - 1, 100.6 / 127.5 - 1, 1, np.inf, np.nan]])[..., np.newaxis]
    assert np.asarray(image_of(encode(image)))[0].tolist() == [0, 0, 100, 101, 255, 255, 0]


def test_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"Received: shape \[1, 4, 4, 3\]"):
        encode(np.zeros((1, 4, 4, 3)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value_range", [(0.0, 4095.0), (100.0, 60000.0)])
def test_a_range_above_255_gives_16_bits_that_decode_to_the_same_values(value_range, channels):
    image = np.random.default_rng(0).uniform(-1, 1, (6, 5, channels)).astype(np.float32)
    step = 2 / (value_range[1] - value_range[0])
    # The decoder reads 16-bit colour at 8 bits, as Pillow does.
    tolerance = step / 2 * 1.01 if channels == 1 else 257 * step
    decoded = decode(encode(image, value_range=value_range), channels, value_range)
    assert np.abs(decoded - image).max() <= tolerance


def test_a_range_below_zero_starts_at_zero():
    pixels = np.asarray(image_of(encode(np.array([[[-1.0], [0.0], [1.0]]]), value_range=(-1000.0, 3000.0))))
    assert pixels.tolist() == [[0, 2000, 4000]]


def test_an_8_bit_range_is_the_range_of_the_file():
    pixels = np.asarray(image_of(encode(np.array([[[-1.0], [0.0], [1.0]]]), value_range=(16.0, 236.0))))
    assert pixels.tolist() == [[16, 126, 236]]


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (0.0, 63.0), (0.0, 1e5)])
@pytest.mark.parametrize(("file_format", "levels"), [("png", [0, 32768, 65535]), ("jpeg", [0, 128, 255])])
def test_a_range_that_whole_numbers_cannot_hold_is_stretched_over_the_file(value_range, file_format, levels):
    image = np.repeat([[[-1.0], [0.0], [1.0]]], 8, axis=1).repeat(8, axis=0)
    pixels = np.asarray(image_of(encode(image, file_format, value_range=value_range)))
    np.testing.assert_allclose(pixels[4, 4::8], levels, atol=1)


def test_jpeg_lies_over_white_where_it_is_transparent():
    black = np.array([0, 0, 0])
    pixels = [[*black, 0]] * 16 + [[*black, 255]] * 16
    image = image_of(encode(np.tile(levels(pixels), (16, 1, 1)), "jpeg"))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    assert np.asarray(image)[:, :8].min() >= 250 and np.asarray(image)[:, -8:].max() <= 5


def test_webp_keeps_alpha_and_a_lower_quality_makes_smaller_files():
    image = np.random.default_rng(0).uniform(-1, 1, (32, 32, 4)).astype(np.float32)
    assert image_of(encode(image, "webp")).mode == "RGBA"
    for file_format in ("jpeg", "webp"):
        small, large = (encode(image[..., :3], file_format, quality=quality) for quality in (10, 95))
        assert len(small) < len(large) / 2


@pytest.mark.parametrize(("file_format", "largest"), LARGEST_SIDE.items())
def test_largest_side_of_a_format_is_written_and_one_more_is_refused(file_format, largest):
    assert image_of(encode(np.zeros((largest, 1, 1)), file_format)).height == largest
    with pytest.raises(
        ValueError, match=rf"may have at most {largest} pixels. Received: shape \[{largest + 1}, 1, 1\]"
    ):
        encode(np.zeros((largest + 1, 1, 1)), file_format)
