"""Resize, crop and flip, as pure functions of an image and a seed."""

import tensorflow as tf

from cyclegan.config.sections import DataConfig


def augment(image: tf.Tensor, seed: tf.Tensor, config: DataConfig) -> tf.Tensor:
    """A random view of a training image.

    The image is resized to `load_size` and cropped to `crop_size` at a random place. If `flip` is true, it is mirrored
    with probability 1/2.

    Args:
        image: float32 [height, width, channels] in [-1, 1].
        seed: int64 [2]; the same seed gives the same view.
        config: the sizes, and how to resize.

    Returns:
        float32 [crop_size, crop_size, channels] in [-1, 1].
    """
    draws = tf.random.stateless_uniform([3], seed, alg="philox")
    image = _resize(image, config.load_size, config)
    size = config.crop_size
    slack = tf.cast(tf.shape(image)[:2] - size + 1, tf.float32)
    top, left = tf.unstack(tf.cast(draws[:2] * slack, tf.int32))
    image = image[top : top + size, left : left + size]
    if config.flip:
        image = tf.where(draws[2] < 0.5, image[:, ::-1], image)
    return tf.ensure_shape(image, [size, size, image.shape[-1]])


def centre_view(image: tf.Tensor, config: DataConfig) -> tf.Tensor:
    """The view of a test image: it is resized to `crop_size` and, if it is not square, cropped in the centre.

    Args:
        image: float32 [height, width, channels] in [-1, 1].
        config: the size, and how to resize.

    Returns:
        float32 [crop_size, crop_size, channels] in [-1, 1].
    """
    size = config.crop_size
    image = _resize(image, size, config)
    top, left = tf.unstack((tf.shape(image)[:2] - size) // 2)
    return tf.ensure_shape(image[top : top + size, left : left + size], [size, size, image.shape[-1]])


def _resize(image: tf.Tensor, size: int, config: DataConfig) -> tf.Tensor:
    """Antialiased bicubic resize as in Pillow, clipped to [-1, 1] because bicubic overshoots at edges."""
    shape = tf.shape(image)[:2]
    if config.resize == "stretch":
        target = tf.constant([size, size])
    else:
        # With "none", only images that are too small for the crop are enlarged.
        shorter = size if config.resize == "keep-aspect" else config.crop_size
        scale = tf.cast(shorter, tf.float64) / tf.cast(tf.reduce_min(shape), tf.float64)
        if config.resize == "none":
            scale = tf.maximum(scale, 1.0)
        target = tf.cast(tf.round(tf.cast(shape, tf.float64) * scale), tf.int32)
    if tf.reduce_all(target == shape):
        return image
    return tf.clip_by_value(tf.image.resize(image, target, method="bicubic", antialias=True), -1.0, 1.0)
