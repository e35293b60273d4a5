"""The random view of an image, as a pure function of the image and a seed."""

import tensorflow as tf

from cyclegan.config.sections import DataConfig


def augment(image: tf.Tensor, seed: tf.Tensor, config: DataConfig) -> tf.Tensor:
    """A random view of a training image.

    The image is cropped to `crop_size` at a random place. If `flip` is true, it is mirrored with probability 1/2.

    Args:
        image: float32 [height, width, channels] in [-1, 1], not smaller than the crop.
        seed: int64 [2]; the same seed gives the same view.
        config: the size of the crop, and whether to flip.

    Returns:
        float32 [crop_size, crop_size, channels] in [-1, 1].
    """
    draws = tf.random.stateless_uniform([3], seed, alg="philox")
    size = config.crop_size
    slack = tf.cast(tf.shape(image)[:2] - size + 1, tf.float32)
    top, left = tf.unstack(tf.cast(draws[:2] * slack, tf.int32))
    image = image[top : top + size, left : left + size]
    if config.flip:
        image = tf.where(draws[2] < 0.5, image[:, ::-1], image)
    return tf.ensure_shape(image, [size, size, image.shape[-1]])
