"""A store of earlier translations, from which the discriminators learn.

Source: Shrivastava et al. 2017, section 2.3; used by Zhu et al. 2017, section 4, with 50 images.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class PoolUpdate(NamedTuple):
    """What a query stores: slot i takes entry `sources[i]` of the old slots followed by `fakes`."""

    fakes: tf.Tensor
    sources: tf.Tensor
    count: tf.Tensor


Query = Callable[[tf.Tensor], tuple[tf.Tensor, PoolUpdate]]
"""Exchanges fakes for images of a pool, as `ImagePool.query` does with its seed."""


class PoolPlan(NamedTuple):
    """What happens to the next images, of which a pool of `size` images counts the first as number `size`.

    Attributes:
        returned: for each of them the number of the image that is returned for it.
        sources: for each slot of the pool the number of the image that is in it afterwards.
        count: the number of images in the pool afterwards.
    """

    returned: tf.Tensor
    sources: tf.Tensor
    count: tf.Tensor


class ImagePool(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
    """A pool of images for each replica, kept in variables so that they are checkpointed and XLA can read them.

    A query changes nothing. It returns an update, from which `updated` makes the new images and their number, so that
    the gradients stay pure.

    Args:
        size: the number of images. 0 turns the pool off.
        image_shape: (height, width, channels).
        dtype: the dtype of the images.
    """

    def __init__(self, size: int, image_shape: tuple[int, int, int], dtype: str = "float32"):
        super().__init__()
        self.size = size

        def per_replica(value: tf.Tensor) -> tf.Variable:
            return tf.Variable(
                value,
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.NONE,
            )

        self.images = per_replica(tf.zeros([size, *image_shape], dtype))
        self.count = per_replica(tf.zeros([], tf.int32))

    def query(self, fakes: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, PoolUpdate]:
        """Exchanges fakes for images of the pool, one image after the other.

        Args:
            fakes: [batch, height, width, channels]; the batch size is static.
            seed: int [2]. The same seed draws the same slots.

        Returns:
            Images of the shape of `fakes`, and the update for `updated`.
        """
        if self.size == 0:
            return fakes, PoolUpdate(fakes[:0], tf.zeros([0], tf.int32), self.count + 0)
        plan = self.plan(fakes.shape[0], seed)
        return self.exchanged(fakes, plan.returned), PoolUpdate(fakes, plan.sources, plan.count)

    def plan(self, batch_size: int, seed: tf.Tensor) -> PoolPlan:
        """Decides which images are exchanged, before they are known.

        While the pool fills, each image is stored and returned. Later, with probability 1/2, a stored image is
        returned and the new one takes its place. Otherwise the new one is returned and not stored.

        Args:
            batch_size: the number of images that come.
            seed: int [2]. The same seed draws the same slots.
        """
        if self.size == 0:
            return PoolPlan(tf.range(batch_size), tf.zeros([0], tf.int32), self.count + 0)

        draws = tf.random.experimental.stateless_split(seed, 2, alg="philox")

        def integers(draw: tf.Tensor, maxval: int) -> tf.Tensor:
            # Integers, because XLA makes other floats of the same random bits.
            return tf.random.stateless_uniform([batch_size], draw, maxval=maxval, dtype=tf.int32, alg="philox")

        swaps = integers(draws[0], 2) == 0
        random_slots = integers(draws[1], self.size)
        # `sources[slot]` is the entry of [pool..., fakes...] in the slot. Later images see what earlier ones stored.
        all_slots = tf.range(self.size)
        sources = all_slots
        count = self.count + 0
        returned = []
        for index in range(batch_size):
            filling = count < self.size
            slot = tf.where(filling, tf.minimum(count, self.size - 1), random_slots[index])
            stored = filling | swaps[index]
            new = self.size + index
            returned.append(tf.where(filling | ~swaps[index], new, tf.gather(sources, slot)))
            sources = tf.where(stored & (all_slots == slot), new, sources)
            count = tf.minimum(count + 1, self.size)

        return PoolPlan(tf.stack(returned), sources, count)

    def exchanged(self, fakes: tf.Tensor, returned: tf.Tensor) -> tf.Tensor:
        """The images at the places `returned`, as `PoolPlan` counts them: [number of places, height, width, channels].

        Args:
            fakes: the new images. Those that `returned` does not name may still be missing.
            returned: int [any number].
        """
        return tf.gather(tf.concat([self.images, fakes], axis=0), returned)

    def updated(self, update: PoolUpdate) -> tuple[tf.Tensor, tf.Tensor]:
        """The values that `images` and `count` have after an update that `query` returned."""
        if self.size == 0:
            return self.images + 0, update.count
        return tf.gather(tf.concat([self.images, update.fakes], axis=0), update.sources), update.count
