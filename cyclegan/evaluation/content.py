"""How much of an image its translation keeps: one number for each image."""

import tensorflow as tf


def l1(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """The mean absolute difference, in the range of the images, which is 2.

    Args:
        one: float32 [n, height, width, channels] in [-1, 1].
        other: the same.

    Returns:
        [n], from 0 for equal images to 2.
    """
    return tf.reduce_mean(tf.abs(one - other), axis=[1, 2, 3])


def psnr(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """The peak signal-to-noise ratio in decibels: [n]; 100 for equal images. The arguments are those of `l1`."""
    error = tf.reduce_mean(tf.square(one - other), axis=[1, 2, 3])
    return 10 * tf.math.log(4 / tf.maximum(error, 4e-10)) / tf.math.log(10.0)


def ssim(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """The structural similarity: [n], 1 for equal images. The arguments are those of `l1`, at least 11 pixels a side.

    Source: Wang et al. 2004, eq. 13, with a Gaussian window of 11 x 11 pixels.
    """
    return tf.image.ssim(one, other, max_val=2.0)


def structure_kept(images: tf.Tensor, translations: tf.Tensor) -> tf.Tensor:
    """The structural similarity of the edges of an image and of its translation, whatever their colours.

    An edge is the length of the Sobel gradient of the luminance, divided by the largest of the image.

    Args:
        images: float32 [n, height, width, channels] in [-1, 1].
        translations: the same, with any number of channels.

    Returns:
        [n], 1 if all edges are kept.
    """
    return tf.image.ssim(_edges(images), _edges(translations), max_val=1.0)


def error_inside(translations: tf.Tensor, truth: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The mean absolute difference to the truth where an image must change.

    Args:
        translations: float32 [n, height, width, channels] in [-1, 1].
        truth: the same.
        mask: float32 [n, height, width, 1]: 1 where the image must change, -1 where it must not, and between at the
            border, which does not count.

    Returns:
        [n], from 0 to 2.
    """
    return _mean_where(mask > 0.99, translations, truth)


def error_outside(translations: tf.Tensor, truth: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The mean absolute difference to the truth where an image must not change; see `error_inside`."""
    return _mean_where(mask < -0.99, translations, truth)


def _mean_where(chosen: tf.Tensor, one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    weights = tf.cast(chosen, one.dtype)
    differences = tf.reduce_mean(tf.abs(one - other), axis=-1, keepdims=True)
    total = tf.reduce_sum(weights, axis=[1, 2, 3])
    return tf.reduce_sum(weights * differences, axis=[1, 2, 3]) / tf.maximum(total, 1)


def luminance(images: tf.Tensor) -> tf.Tensor:
    """ITU-R BT.601 luma [n, height, width, 1] in [-1, 1] of images with 1, 3 or 4 channels."""
    if images.shape[-1] == 1:
        return images
    return tf.tensordot(images[..., :3], tf.constant([0.299, 0.587, 0.114], images.dtype), 1)[..., None]


def _edges(images: tf.Tensor) -> tf.Tensor:
    gradients = tf.image.sobel_edges(luminance(images))  # [n, height, width, 1, 2]
    lengths = tf.norm(gradients, axis=-1)
    return lengths / tf.maximum(tf.reduce_max(lengths, axis=[1, 2, 3], keepdims=True), 1e-6)
