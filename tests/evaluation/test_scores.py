import numpy as np
import pytest

from cyclegan.evaluation.scores import FEATURE_DISTANCES, PATCH_DISTANCES, ImageSet, mean_value

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


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    numbers = RNG.normal(5, 2, 400)
    value = mean_value(numbers, seed=0)
    assert value.value == pytest.approx(numbers.mean())
    assert (value.high - value.low) / 2 == pytest.approx(1.96 * numbers.std() / 20, rel=0.25)
