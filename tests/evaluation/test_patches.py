import numpy as np
import pytest

from cyclegan.evaluation.patches import PATCHES_PER_IMAGE, draw_patches, normalised, pyramid

RNG = np.random.default_rng(0)


def test_a_pyramid_ends_with_sixteen_pixels():
    assert [level.shape[1:3] for level in pyramid(np.zeros((1, 128, 64, 3)))] == [(128, 64), (64, 32), (32, 16)]
    assert [level.shape[1:3] for level in pyramid(np.zeros((1, 67, 67, 3)))] == [(66, 66), (32, 32), (16, 16)]


def test_the_details_of_a_flat_image_are_zero():
    *details, smallest = pyramid(np.full((1, 64, 64, 3), 0.7, np.float32))
    assert all(np.abs(level).max() < 1e-6 for level in details)
    assert smallest == pytest.approx(0.7, abs=1e-6)


def test_fine_noise_is_in_the_finest_level_and_a_slow_wave_in_the_coarsest():
    columns = np.arange(64)
    noise = np.broadcast_to(np.where(columns % 2, 1.0, -1.0)[None, None, :, None], (1, 64, 64, 1))
    wave = np.broadcast_to(np.sin(2 * np.pi * columns / 64)[None, None, :, None], (1, 64, 64, 1))
    energies = [[float((level**2).mean()) for level in pyramid(images)] for images in (noise, wave)]
    assert np.argmax(energies[0]) == 0 and np.argmax(energies[1]) == len(energies[1]) - 1


def test_patches_are_parts_of_their_level_at_the_same_places_in_all_images():
    rows, columns = np.meshgrid(np.arange(20), np.arange(30), indexing="ij")
    level = np.stack([np.stack([rows, columns], axis=-1)] * 2)
    patches = draw_patches(level, seed=1).reshape(2, PATCHES_PER_IMAGE, 7, 7, 2)
    np.testing.assert_array_equal(patches[0], patches[1])
    top, left = patches[0, :, 0, 0].T
    assert top.min() >= 0 and top.max() <= 13 and left.max() <= 23
    np.testing.assert_array_equal(patches[0, :, :, :, 0], (top[:, None] + np.arange(7))[:, :, None].repeat(7, axis=2))
    assert not np.array_equal(draw_patches(level, seed=2), draw_patches(level, seed=1))


def test_normalised_patches_have_the_same_mean_and_spread_in_each_channel():
    patches = RNG.normal([1.0, 5.0, -2.0] * 49, [1.0, 3.0, 0.1] * 49, (100, 147))
    values = normalised(patches, 3).reshape(-1, 3)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(values.std(axis=0), 1, rtol=1e-12)
