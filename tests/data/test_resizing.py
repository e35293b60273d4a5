import numpy as np
import pytest
from PIL import Image

from cyclegan.config.sections import DataConfig
from cyclegan.data.resizing import resize, resized_size

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("rule", "image", "resized"),
    [
        ("stretch", (50, 80), (40, 40)),
        ("keep-aspect", (50, 80), (40, 64)),
        ("keep-aspect", (80, 50), (64, 40)),
        ("keep-aspect", (30, 30), (40, 40)),
        ("none", (50, 80), (50, 80)),
        ("none", (20, 70), (32, 112)),  # a side is shorter than the crop
    ],
)
def test_size_follows_the_rule(rule, image, resized):
    assert resized_size(*image, 40, DataConfig(load_size=40, crop_size=32, resize=rule)) == resized


def test_8_bit_colours_are_those_of_the_reference():
    """Its transforms resize a picture of Pillow, with bicubic."""
    values = RNG.integers(0, 256, (97, 120, 3), dtype=np.uint8)
    picture = Image.fromarray(values).resize((48, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(resize(values, 32, 48), np.asarray(picture))


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.int32, 10**6)])
def test_depth_is_kept_and_rounding_costs_at_most_a_level(dtype, top):
    # A picture without hard edges, whose values do not leave the range in either pass.
    y, x = np.mgrid[:90, :120] / 20
    smooth = np.sin(x + y) * np.cos(y - 2 * x) * 0.4 + 0.5
    values = np.round(smooth * top).astype(dtype)[:, :, np.newaxis]
    exact = Image.fromarray(values[:, :, 0].astype(np.float32)).resize((40, 30), Image.Resampling.BICUBIC)
    resized = resize(values, 30, 40)
    assert resized.dtype == dtype and resized.shape == (30, 40, 1)
    assert np.abs(resized[:, :, 0].astype(np.float64) - np.asarray(exact)).max() < 1 + 1e-6 * top


def test_16_bits_do_not_wrap_around_where_bicubic_overshoots():
    edge = np.zeros((40, 40, 1), np.uint16)
    edge[:, 20:] = 65535
    resized = resize(edge, 13, 13)
    assert resized[6, 0, 0] == 0 and resized[6, -1, 0] == 65535
    assert (np.diff(resized[6, :, 0].astype(int)) >= 0).all()


def test_black_and_white_becomes_grey_of_8_bits():
    stripes = np.zeros((8, 8, 1), bool)
    stripes[:, ::2] = True
    resized = resize(stripes, 2, 2)
    assert resized.dtype == np.uint8
    assert np.abs(resized.astype(int) - 127.5).max() < 30


def test_an_image_of_the_right_size_is_returned_as_it_is():
    values = RNG.random((5, 7, 3), dtype=np.float32)
    assert resize(values, 5, 7) is values


def test_colours_below_a_transparent_alpha_are_kept():
    values = np.zeros((8, 8, 4), np.uint8)
    values[:, :, 0] = 200
    assert (resize(values, 4, 4) == [200, 0, 0, 0]).all()
