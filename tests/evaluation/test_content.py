import numpy as np
import pytest
import tensorflow as tf

from cyclegan.evaluation.content import error_inside, error_outside, l1, luminance, psnr, ssim, structure_kept

RNG = np.random.default_rng(0)
IMAGES = tf.constant(RNG.uniform(-1, 1, (2, 32, 32, 3)), tf.float32)


def test_l1_is_the_mean_difference_of_each_image():
    other = IMAGES + tf.constant([0.5, -0.25])[:, None, None, None]
    np.testing.assert_allclose(l1(IMAGES, other), [0.5, 0.25], rtol=1e-6)


def test_psnr_of_an_error_of_a_tenth_of_the_range_is_twenty_decibels():
    np.testing.assert_allclose(psnr(IMAGES, IMAGES + 0.2), 20, rtol=1e-5)


def test_equal_images_have_the_best_values():
    np.testing.assert_allclose(psnr(IMAGES, IMAGES), 100, rtol=1e-5)
    np.testing.assert_allclose(ssim(IMAGES, IMAGES), 1, rtol=1e-6)
    np.testing.assert_allclose(structure_kept(IMAGES, IMAGES), 1, rtol=1e-5)


def squares(inside, outside, shift=0):
    images = np.full((1, 32, 32, 3), outside, np.float32)
    images[:, 8 + shift : 24, 8:24] = inside
    return tf.constant(images)


def test_structure_is_kept_where_only_colours_change():
    first = squares([1.0, -1.0, -1.0], [-1.0, -1.0, 0.5])
    recoloured, inverted = squares([0.0, 0.2, -1.0], [0.9, 0.9, 0.9]), -first
    np.testing.assert_allclose(structure_kept(first, recoloured), 1, atol=1e-5)
    np.testing.assert_allclose(structure_kept(first, inverted), 1, atol=1e-5)


def test_structure_is_lost_where_shapes_change():
    first = squares([1.0, -1.0, -1.0], [-1.0, -1.0, 0.5])
    moved = squares([1.0, -1.0, -1.0], [-1.0, -1.0, 0.5], shift=8)
    noise = tf.constant(RNG.uniform(-1, 1, first.shape), tf.float32)
    assert float(structure_kept(first, moved)[0]) < 0.9
    assert float(structure_kept(first, noise)[0]) < 0.2


def test_luminance_of_grey_is_itself():
    grey = IMAGES[..., :1]
    assert luminance(grey) is grey
    assert luminance(tf.ones([1, 2, 2, 4])).numpy() == pytest.approx(1)


def test_errors_count_inside_and_outside_of_the_mask_and_not_at_its_border():
    mask = np.full((1, 4, 4, 1), -1, np.float32)
    mask[:, :2] = 1
    mask[:, 1, 0] = 0.2  # on the border
    truth = np.zeros((1, 4, 4, 3), np.float32)
    translation = truth.copy()
    translation[:, 0, 0] = 0.7  # 1 of 7 pixels inside
    translation[:, 1, 0] = 9.0
    translation[:, 3, 3, 0] = 0.6  # 1 of 8 pixels outside, in 1 of 3 channels
    given = [tf.constant(each) for each in (translation, truth, mask)]
    assert float(error_inside(*given)[0]) == pytest.approx(0.1)
    assert float(error_outside(*given)[0]) == pytest.approx(0.6 / 24)
