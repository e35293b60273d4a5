"""How much memory a training step needs, estimated from its graph before anything is computed."""

import keras
import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.runtime.memory import peak_live_bytes
from cyclegan.training.gradients import compute_gradients
from cyclegan.training.state import State

PROGRAM_BYTES = 850e6
"""What a process with TensorFlow, Keras and the traced step takes before it holds a single image."""

COMPILER_BYTES = 500e6
"""What XLA adds by compiling the step; `jit_compile: auto` compiles it too, to time it."""


def estimate_peak_bytes(state: State, config: Config, num_replicas: int) -> float:
    """Peak memory of training on one host's CPU or on each GPU, in bytes.

    The graph of the gradients is walked in its own order; a tensor lives from the operation that makes it to the
    last one that reads it. To the peak of that come the weights, the moments of Adam, and the image pools. The two
    constants were measured on Linux; batches in flight are not counted.

    Args:
        state: built, never run.
        config: the whole configuration.
        num_replicas: replicas that share the memory.
    """
    data = config.data
    dtype = state.pool_a.images.dtype
    shape = [config.training.batch_size, data.crop_size, data.crop_size]
    graph = (
        tf.function(
            lambda real_a, real_b: compute_gradients(state, config, real_a, real_b, tf.constant(0), num_replicas),
            autograph=False,
        )
        .get_concrete_function(
            tf.TensorSpec([*shape, data.channels_a], dtype), tf.TensorSpec([*shape, data.channels_b], dtype)
        )
        .graph
    )

    def bytes_of(variables: list[keras.Variable]) -> int:
        return sum(int(tf.size(variable)) * variable.value.dtype.size for variable in variables)

    weight_bytes = bytes_of([*state.generator_variables, *state.discriminator_variables])
    average_bytes = bytes_of([weight for average in state.averages for weight in average.weights])
    pool_bytes = sum(
        config.training.pool_size * data.crop_size**2 * channels * dtype.size
        for channels in (data.channels_a, data.channels_b)
    )
    # Weights and two moments stay; the gradients are outputs of the graph and so part of its peak.
    program_bytes = PROGRAM_BYTES + (COMPILER_BYTES if config.training.jit_compile else 0)
    return program_bytes + num_replicas * (3 * weight_bytes + average_bytes + pool_bytes + peak_live_bytes(graph))
