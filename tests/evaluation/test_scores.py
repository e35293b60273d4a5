import numpy as np
import pytest

from cyclegan.evaluation.distances import frechet_distance
from cyclegan.evaluation.scores import FEATURE_DISTANCES, PATCH_DISTANCES, ImageSet, mean_value, share_value

RNG = np.random.default_rng(0)


def image_set(shift, n=40, channels=3):
    features = np.float32(RNG.normal(shift, 1, (n, 6)))
    levels = [np.float32(RNG.normal(0, 1, (n, 16, 7 * 7 * channels)).cumsum(axis=-1) * (1 + shift)) for _ in range(2)]
    return ImageSet(features, levels, channels, n)


@pytest.mark.parametrize("distance", [*FEATURE_DISTANCES.values(), *PATCH_DISTANCES.values()])
def test_the_same_images_give_the_same_numbers_and_an_interval_around_them(distance):
    x, y = image_set(0), image_set(1)
    first, second = distance(x, y, 3), distance(x, y, 3)
    assert first == second
    assert first.low < first.value < first.high


@pytest.mark.parametrize("distance", FEATURE_DISTANCES.values(), ids=FEATURE_DISTANCES)
def test_a_set_that_is_further_away_has_the_larger_distance(distance):
    real = image_set(0)
    assert distance(real, image_set(0), 0).high < distance(real, image_set(1), 0).low


def test_the_distance_of_patches_does_not_see_a_larger_contrast():
    """The channels of all patches of a set are brought to the same mean and spread."""
    (distance,) = PATCH_DISTANCES.values()
    real = image_set(0)
    louder = real._replace(patches=[3 * level + 1 for level in real.patches])
    assert distance(real, louder, 0).value == pytest.approx(0, abs=1e-3)


def test_the_interval_of_few_resamples_is_that_of_student():
    """The half width of 20 resampled distances is 2.093 of their standard deviations, computed here once more."""
    distance, x, y = FEATURE_DISTANCES["Frechet"], image_set(0), image_set(1)
    value, draw, found = distance(x, y, 3), np.random.default_rng([3, 1]), []
    for _ in range(20):
        i, j = draw.integers(40, size=40), draw.integers(40, size=40)
        found.append(frechet_distance(x.features[i], y.features[j]))
    assert (value.high - value.low) / 2 == pytest.approx(2.093 * np.std(found, ddof=1))


def test_a_distance_that_cannot_be_below_0_has_no_interval_below_0():
    x = image_set(0)
    for name in ("Frechet", "SWD"):
        assert (FEATURE_DISTANCES | PATCH_DISTANCES)[name](x, x, 0).low >= 0


@pytest.mark.parametrize(
    ("hits", "number", "low", "high"), [(0, 120, 0, 0.0310), (10, 20, 0.2993, 0.7007), (119, 119, 0.9687, 1)]
)
def test_the_interval_of_a_share_is_that_of_wilson(hits, number, low, high):
    value = share_value(np.arange(number) < hits)
    assert (value.value, value.low, value.high) == pytest.approx((hits / number, low, high), abs=1e-4)


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    numbers = RNG.normal(5, 2, 400)
    value = mean_value(numbers, seed=0)
    assert value.value == pytest.approx(numbers.mean())
    assert (value.high - value.low) / 2 == pytest.approx(1.96 * numbers.std() / 20, rel=0.25)
