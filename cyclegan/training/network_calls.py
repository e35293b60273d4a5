"""How a step calls its networks: several batches at once, now and then, and watched by a tape."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

NetworkCall = Callable[[keras.Model, tf.Tensor], Any]
"""Calls a network as in training."""


def plain_call(network: keras.Model, images: tf.Tensor) -> Any:
    """The output of a network. What it computes in between is kept for the gradients."""
    return network(images, training=True)


def recomputing(scope: keras.StatelessScope) -> NetworkCall:
    """Makes a function that calls a network and keeps nothing but its input for the gradients.

    The gradients compute the output again, with the same random numbers. That takes time and saves memory.

    Source: Chen et al. 2016, "Training deep nets with sublinear memory cost".

    Args:
        scope: the scope in which the networks are called, which gets their new states.
    """
    finished: list[tf.Tensor] = []

    def call(network: keras.Model, images: tf.Tensor) -> tf.Tensor:
        weights = network.trainable_variables
        trained = {id(variable) for variable in weights}
        states = [variable for variable in network.variables if id(variable) not in trained]
        before = [(state, scope.get_current_value(state)) for state in states]

        def output(images: tf.Tensor, values: Sequence[tf.Tensor]) -> tuple[tf.Tensor, keras.StatelessScope]:
            given = [*before, *zip(weights, values, strict=True)]
            with keras.StatelessScope([(variable, value) for variable, value in given if value is not None]) as inner:
                return network(images, training=True), inner

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def computed(images: tf.Tensor, *values: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
            result, inner = output(images, values)
            for state in states:
                if (new := inner.get_current_value(state)) is not None:
                    scope.add_update((state, new))

            def gradient(upstream: tf.Tensor) -> Any:
                # The input depends on the upstream gradient and on the call before, so that neither TensorFlow nor XLA
                # computes this earlier, beside another one, or takes the values of the first time.
                awaited = tf.stack([tf.reshape(tensor, [-1])[0] for tensor in (upstream, *finished)])
                again = images + tf.cast(tf.where(tf.reduce_all(awaited == awaited), 0.0, math.nan), images.dtype)
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch([again, *values])
                    result, _ = output(again, values)
                gradients = tape.gradient(result, [again, *values], upstream)
                finished[:] = [gradients[1]]  # of the first layer, which is the last to be known
                return gradients

            return result, gradient

        return computed(images, *[tf.convert_to_tensor(variable) for variable in tensors(weights)])

    return call


def call_each(
    network: keras.Model, *batches: tf.Tensor, apart: bool, call: NetworkCall = plain_call
) -> list[tf.Tensor]:
    """The network's output for each batch, from one call or from several.

    Batch normalization mixes all images of a call, so its batches must be kept apart.
    """
    if apart or len(batches) == 1:
        return [call(network, batch) for batch in batches]
    outputs = call(network, tf.concat(batches, 0))
    parts = tf.nest.map_structure(lambda output: tf.split(output, len(batches)), outputs)
    return parts if isinstance(outputs, tf.Tensor) else list(zip(*parts, strict=True))


def score_maps(discriminator: keras.Model, *batches: tf.Tensor, apart: bool = False) -> list[Sequence[tf.Tensor]]:
    """For each batch its maps of scores, one map for each scale."""
    return [tf.nest.flatten(maps) for maps in call_each(discriminator, *batches, apart=apart)]


def every(
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


GradientOf = Callable[[tf.Tensor, tf.Tensor | None], list[tf.Tensor]]
"""Takes a loss and its scale, which multiplies the gradients on their way from the loss to the variables, if any."""


@contextlib.contextmanager
def watching(variables: list[keras.Variable], *, several: bool = False) -> Iterator[GradientOf]:
    """A block whose gradients for these variables, and no others, are returned by the function that it yields.

    With `several`, that function can be called more than once, and a loss need not depend on all of the variables.
    """

    def gradient(total: tf.Tensor, scale: tf.Tensor | None) -> list[tf.Tensor]:
        unconnected = tf.UnconnectedGradients.ZERO if several else tf.UnconnectedGradients.NONE
        scaled: list[tf.Tensor] = tape.gradient(
            total, tensors(variables), output_gradients=scale, unconnected_gradients=unconnected
        )
        return scaled if scale is None else [each / scale for each in scaled]

    with tf.GradientTape(watch_accessed_variables=False, persistent=several) as tape:
        tape.watch(tensors(variables))
        yield gradient


def tensors(variables: list[keras.Variable]) -> list[tf.Variable]:
    """The TensorFlow variables inside Keras variables."""
    return [variable.value for variable in variables]
