import numpy as np
import pytest

from cyclegan.evaluation.symptoms import Probe, correlation, grid, luminance, measure

RNG = np.random.default_rng(0)


def scenes(number=8, side=64):
    """Smooth images of several colours and brightnesses, which differ."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    images = []
    for _ in range(number):
        frequency, phase, colour = RNG.uniform(2, 9, 2), RNG.uniform(0, 6, 2), RNG.uniform(-0.5, 0.5, 3)
        waves = 0.4 * np.sin(frequency[0] * rows + phase[0]) + 0.3 * np.sin(frequency[1] * columns + phase[1])
        images.append(np.clip(waves[..., None] + colour, -0.97, 0.97))
    return np.float32(images)


A, B = scenes(), scenes()


def symptoms(outputs, cycled=A, disturbed=A, inputs=A):
    return measure(Probe(inputs, B, np.float32(outputs), cycled, disturbed, 0.02))


@pytest.mark.parametrize("place", ["outputs", "cycled", "disturbed"])
def test_one_value_that_is_not_finite_spoils_the_output(place):
    images = {name: A.copy() for name in ("outputs", "cycled", "disturbed")}
    images[place][0, 0, 0, 0] = np.nan
    assert symptoms(**images) == {"spoiled": pytest.approx(1 / A.size / 3)}
    assert symptoms(A)["spoiled"] == 0


def test_the_luminance_weighs_the_colours():
    image = np.array([[[[1, 0, 0, 9], [0, 1, 0, 9], [0, 0, 1, 9]]]], np.float32)
    np.testing.assert_allclose(luminance(image), [[[0.299, 0.587, 0.114]]], atol=1e-7)
    assert luminance(np.full((1, 2, 2, 1), 0.3)).tolist() == [[[0.3, 0.3], [0.3, 0.3]]]


def test_the_correlation_is_that_of_pearson():
    one, other = RNG.normal(size=(2, 3, 10, 10))
    other = other + one
    pairs = zip(one, other, strict=True)
    expected = np.median([np.corrcoef(first.ravel(), second.ravel())[0, 1] for first, second in pairs])
    assert correlation(one, other) == pytest.approx(expected)
    assert correlation(one, np.zeros_like(one)) == 0


def test_a_copy_has_no_change_and_full_correlation():
    found = symptoms(A)
    assert found["correlation"] == pytest.approx(1) and found["change"] == 0
    assert found["variety"] == pytest.approx(luminance(A).var(axis=0).mean() / luminance(B).var(axis=0).mean())


def test_inverted_colours_have_a_negative_correlation():
    assert symptoms(-A)["correlation"] == pytest.approx(-1)


def test_an_image_of_one_colour_has_no_contrast():
    found = symptoms(np.full_like(A, 0.3))
    assert [found[name] for name in ("contrast", "variety", "correlation")] == pytest.approx([0, 0, 0], abs=1e-6)


def test_saturation_is_counted_beyond_that_of_real_images():
    half = A.copy()
    half[:, :32] = 1
    assert symptoms(half)["saturation"] == pytest.approx(0.5, abs=0.01)
    white = measure(Probe(A, half, half, A, A, 0.02))
    assert white["saturation"] == 0


def test_outputs_that_are_alike_have_no_variety():
    found = symptoms(np.broadcast_to(A[:1], A.shape))
    assert found["variety"] == pytest.approx(0, abs=1e-6) and found["contrast"] > 0.1


def test_the_sensitivity_is_how_much_larger_noise_becomes():
    noise = np.float32(RNG.normal(0, 0.02, A.shape))
    assert symptoms(A, A, A + 7 * noise)["sensitivity"] == pytest.approx(7, rel=0.02)
    assert symptoms(A, A, A)["sensitivity"] == 0


def test_a_grid_is_measured_in_the_range_of_the_images():
    """A pattern of +-0.1 that repeats every 2 pixels differs by 0.1 from the mean of 5 x 5 pixels, almost."""
    pattern = np.tile([[0.1, -0.1], [-0.1, 0.1]], (32, 32))
    assert grid(np.broadcast_to(pattern, (2, 64, 64))) == pytest.approx(0.1, rel=0.05)


def test_noise_has_no_grid():
    assert grid(RNG.normal(0, 0.3, (8, 64, 64))) < 0.01


def test_a_grid_is_found_in_images_that_differ():
    pattern = np.float32(np.tile([[0.1, 0, 0, 0]] + [[0, 0, 0, 0]] * 3, (16, 16)))[..., None]
    assert symptoms(A + pattern)["grid"] > 0.02 > symptoms(A)["grid"]


def test_images_of_one_channel_are_measured_too():
    found = measure(Probe(A[..., :1], B, B, A[..., :1], A[..., :1], 0.02))
    assert -1 <= found["correlation"] <= 1
