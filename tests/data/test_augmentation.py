import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cyclegan.config.sections import DataConfig
from cyclegan.data.augmentation import augment, centre_view

RNG = np.random.default_rng(0)


def noise(height, width):
    return RNG.uniform(-1, 1, (height, width, 3)).astype("float32")


def seed(number):
    return tf.constant([number, 5], tf.int64)


def test_a_view_is_a_crop_of_the_image_mirrored_or_not():
    image = noise(9, 11)
    config = DataConfig(resize="none", crop_size=8)
    views = {}
    for number in range(200):
        view = augment(tf.constant(image), seed(number), config).numpy()
        for top in range(2):
            for left in range(4):
                crop = image[top : top + 8, left : left + 8]
                for flipped, candidate in ((False, crop), (True, crop[:, ::-1])):
                    if np.array_equal(view, candidate):
                        views[top, left, flipped] = views.get((top, left, flipped), 0) + 1
    assert sum(views.values()) == 200
    assert len(views) == 16  # every place, both ways


def test_the_same_seed_gives_the_same_view_eagerly_and_in_a_data_set():
    image, config = noise(40, 30), DataConfig(load_size=36, crop_size=32)
    eager = augment(tf.constant(image), seed(3), config).numpy()
    data = tf.data.Dataset.from_tensors(image).map(lambda x: augment(x, seed(3), config))
    # Eager and graph kernels may fuse differently: a thousandth of a grey level.
    np.testing.assert_allclose(next(iter(data)).numpy(), eager, atol=1e-5)


def test_resize_equals_the_antialiased_bicubic_of_pillow():
    image, config = noise(97, 120), DataConfig(crop_size=32)
    received = centre_view(tf.constant(image), config).numpy()
    for channel in range(3):
        picture = Image.fromarray(image[..., channel])
        expected = np.clip(np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC)), -1, 1)
        np.testing.assert_allclose(received[..., channel], expected, atol=2e-4)


@pytest.mark.parametrize("resize,shape", [("stretch", (50, 80)), ("keep-aspect", (50, 80)), ("none", (20, 70))])
def test_views_have_the_crop_size_whatever_the_image(resize, shape):
    config = DataConfig(load_size=40, crop_size=32, resize=resize)
    image = tf.constant(noise(*shape))
    assert augment(image, seed(0), config).shape == (32, 32, 3)
    assert centre_view(image, config).shape == (32, 32, 3)


def test_keep_aspect_keeps_squares_square():
    """A disc stays a disc: as wide as it is high."""
    y, x = np.mgrid[:64, :128]
    disc = np.repeat(((x - 64) ** 2 + (y - 32) ** 2 < 24**2)[..., None] * 2.0 - 1, 3, axis=-1).astype("float32")
    view = centre_view(tf.constant(disc), DataConfig(load_size=32, crop_size=32, resize="keep-aspect")).numpy()
    inside = view[..., 0] > 0
    assert inside.any(axis=0).sum() == inside.any(axis=1).sum()


def test_bicubic_overshoot_is_clipped():
    edge = np.ones((64, 64, 3), "float32")
    edge[:, :32] = -1
    view = centre_view(tf.constant(edge), DataConfig(crop_size=20)).numpy()
    assert np.abs(view).max() <= 1
