import numpy as np
import tensorflow as tf

from cyclegan.config.sections import DataConfig
from cyclegan.data.augmentation import augment

RNG = np.random.default_rng(0)


def noise(height, width):
    return RNG.uniform(-1, 1, (height, width, 3)).astype("float32")


def seed(number):
    return tf.constant([number, 5], tf.int64)


def test_a_view_is_a_crop_of_the_image_mirrored_or_not():
    image = noise(9, 11)
    config = DataConfig(crop_size=8)
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
    image, config = noise(36, 36), DataConfig(load_size=36, crop_size=32)
    eager = augment(tf.constant(image), seed(3), config).numpy()
    data = tf.data.Dataset.from_tensors(image).map(lambda x: augment(x, seed(3), config))
    # Eager and graph kernels may fuse differently: a thousandth of a grey level.
    np.testing.assert_allclose(next(iter(data)).numpy(), eager, atol=1e-5)
