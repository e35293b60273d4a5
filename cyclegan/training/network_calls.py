"""How a step calls its networks: several batches at once, now and then, and watched by a tape."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf


def call_each(network: keras.Model, *batches: tf.Tensor, apart: bool) -> list[tf.Tensor]:
    """The network's output for each batch, from one call or from several.

    Batch normalization mixes all images of a call, so its batches must be kept apart.
    """
    if apart or len(batches) == 1:
        return [network(batch, training=True) for batch in batches]
    outputs = network(tf.concat(batches, 0), training=True)
    parts = tf.nest.map_structure(lambda output: tf.split(output, len(batches)), outputs)
    return parts if isinstance(outputs, tf.Tensor) else list(zip(*parts, strict=True))


def score_maps(discriminator: keras.Model, *batches: tf.Tensor, apart: bool = False) -> list[Sequence[tf.Tensor]]:
    """For each batch its maps of scores, one map for each scale."""
    return [tf.nest.flatten(maps) for maps in call_each(discriminator, *batches, apart=apart)]


def now_and_then(
    num_steps: int, step: tf.Tensor, compute: Callable[[], tf.Tensor], otherwise: tf.Tensor, *, in_branch: bool = True
) -> tf.Tensor:
    """`num_steps` times the result of `compute` in every `num_steps`-th step, and `otherwise` in the others.

    In a branch the other steps are spared the computation.
    """
    if num_steps == 1:
        return compute()
    if in_branch:
        return tf.cond(step % num_steps == 0, lambda: num_steps * compute(), lambda: otherwise)
    return tf.where(step % num_steps == 0, num_steps * compute(), otherwise)


@contextlib.contextmanager
def watching(variables: list[keras.Variable]) -> Iterator[tf.GradientTape]:
    """A tape that watches these variables and no others."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(tensors(variables))
        yield tape


def tensors(variables: list[keras.Variable]) -> list[tf.Variable]:
    """The TensorFlow variables inside Keras variables."""
    return [variable.value for variable in variables]
