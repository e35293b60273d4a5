import numpy as np
import pytest

from cyclegan.data.stripes import write_stripes
from cyclegan.evaluation.stripes import (
    Score,
    comparison_picture,
    format_table,
    mean_change_outside,
    mean_colour_error,
    median_contrast,
    read_folder,
    score_stripes,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "stripes"
    write_stripes(folder, num_train=1, num_test=20)
    return folder


@pytest.fixture(scope="module")
def oracle(folder):
    """Translates by looking the truth up."""
    inputs, truth = read_folder(folder / "testA"), read_folder(folder / "truth/testA_striped")
    pairs = {picture.tobytes(): pair for picture, pair in zip(inputs, truth, strict=True)}

    def translate(images):
        assert images.dtype == np.float32
        pictures = np.rint((images + 1) * 127.5).astype(np.uint8)
        return np.stack([pairs[p.tobytes()] for p in pictures]).astype(np.float32) / 127.5 - 1

    return translate


def test_contrast_is_the_deviation_of_luminance_where_the_animal_covers_fully():
    # Y of the covered pixels: 0, 1, 0.299, 0.587; mean 0.4715.
    image = np.array([[[0, 0, 0], [1, 1, 1], [1, 0, 0]], [[0, 1, 0], [1, 1, 1], [0, 0, 1]]], float)
    mask = np.array([[255, 255, 255], [255, 254, 0]], np.uint8)
    variance = (0.4715**2 + 0.5285**2 + 0.1725**2 + 0.1155**2) / 4
    assert median_contrast(image[None], mask[None]) == pytest.approx(variance**0.5)


def test_contrast_of_a_set_is_the_median_over_its_images():
    images = np.zeros((3, 1, 2, 3))
    images[:, 0, 1] = np.array([0.2, 0.4, 1.0])[:, None]  # deviations 0.1, 0.2, 0.5
    assert median_contrast(images, np.full((3, 1, 2), 255, np.uint8)) == pytest.approx(0.2)


def test_change_outside_counts_only_pixels_that_the_animal_does_not_touch():
    inputs = np.zeros((1, 1, 4, 3))
    outputs = inputs + np.array([0.3, 0.1, 0.9, 0.9])[:, None]
    outputs[0, 0, 0, 0] = -0.3
    mask = np.array([[[0, 0, 1, 255]]], np.uint8)
    assert mean_change_outside(outputs, inputs, mask) == pytest.approx(0.2)


def test_colour_error_compares_mean_colours_and_not_where_the_stripes_are():
    truth = np.zeros((1, 1, 4, 3))
    truth[0, 0, 0] = 1.0  # A white stripe on a black animal of two pixels: mean 0.5.
    moved = truth[:, :, [1, 0, 2, 3]]
    redder = moved + np.array([0.3, 0, 0])
    mask = np.array([[[255, 255, 254, 0]]], np.uint8)
    assert mean_colour_error(moved, truth, mask) == 0
    assert mean_colour_error(redder, truth, mask) == pytest.approx(0.1)


def test_copying_the_input_fails(folder):
    real, copy, model = score_stripes(lambda images: images, folder)
    assert [row.name for row in (real, copy, model)] == ["real domain B", "copy the input", "model"]
    assert not copy.passes and not model.passes
    assert copy.change_outside == 0
    assert model.contrast == pytest.approx(copy.contrast, abs=1e-6)
    assert copy.ratio < 0.3 and copy.colour_error > 0.1


def test_the_truth_passes(folder, oracle):
    real, _, model = score_stripes(oracle, folder)
    assert real.passes and model.passes
    assert real.ratio == 1 and real.change_outside is None and real.colour_error is None
    assert model.ratio == pytest.approx(1, abs=0.15)
    assert model.change_outside == pytest.approx(0, abs=1e-6)
    assert model.colour_error == pytest.approx(0, abs=1e-6)


def test_stripes_over_the_whole_picture_fail(folder):
    def translate(images):
        stripes = np.where(np.arange(64) % 6 < 3, 0.9, -0.9)
        return np.broadcast_to(stripes[None, None, :, None], images.shape).astype(np.float32)

    model = score_stripes(translate, folder)[2]
    assert model.ratio > 1
    assert model.change_outside > 0.1
    assert not model.passes


def test_values_beyond_the_range_are_clipped(folder):
    black, beyond = (
        score_stripes(lambda images, value=value: np.full_like(images, value), folder)[2] for value in (-1, -9)
    )
    assert beyond == black


@pytest.mark.parametrize(
    ("ratio", "change", "passes"),
    [(0.5, 0.1, True), (0.499, 0.0, False), (1.0, 0.101, False), (1.0, None, True)],
)
def test_both_limits_count(ratio, change, passes):
    assert Score("model", 0.2, ratio, change, 0.0).passes is passes


def test_the_table_is_markdown():
    assert format_table([Score("real domain B", 0.25, 1, None, None), Score("model", 0.2, 0.8, 0.0321, 0.1)]) == (
        "| Images | Stripe contrast | Ratio to real | Change outside | Colour error | Passes |\n"
        "| --- | ---: | ---: | ---: | ---: | --- |\n"
        "| real domain B | 0.250 | 1.00 | - | - | yes |\n"
        "| model | 0.200 | 0.80 | 0.032 | 0.100 | yes |"
    )


def test_the_picture_shows_input_translation_and_truth(folder, oracle):
    picture = comparison_picture(oracle, folder, num=3)
    assert picture.dtype == np.uint8
    assert picture.shape == (3 * 128 + 2 * 4, 3 * 128 + 2 * 4, 3)
    second = slice(132, 260)
    for row, name in ((0, "testA"), (132, "truth/testA_striped"), (264, "truth/testA_striped")):
        shown = picture[row : row + 128, second]
        np.testing.assert_array_equal(shown[::2, 1::2], read_folder(folder / name)[1])
        np.testing.assert_array_equal(shown[::2, ::2], shown[1::2, 1::2])
    assert (picture[128:132] == 255).all() and (picture[:, 128:132] == 255).all()
