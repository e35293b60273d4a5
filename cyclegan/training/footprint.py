"""The memory that a training step needs, estimated from its graph before anything is computed."""

import keras
import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.runtime.memory import peak_live_bytes
from cyclegan.training.gradients import compute_gradients
from cyclegan.training.state import State

PROGRAM_BYTES = 850e6
"""Memory of a process with TensorFlow, Keras and the traced step before it holds a single image, in bytes."""

COMPILER_BYTES = 500e6
"""Memory that XLA adds when it compiles the step, in bytes. `jit_compile: auto` compiles it too, to time it."""


def estimate_peak_bytes(state: State, config: Config, num_replicas: int) -> float:
    """Peak memory of training on the CPU of one machine or on each GPU, in bytes.

    The operations of the gradients' graph are gone through in order. A tensor is counted from the operation that makes
    it to the last operation that reads it. The weights, the moments of Adam and the image pools are added to the peak
    of that sum. The two constants were measured on Linux. Batches that are being read are not counted.

    Args:
        state: built, and not run yet.
        config: the whole configuration.
        num_replicas: the number of replicas that share the memory.
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
    # The weights and two moments stay. The gradients are outputs of the graph, and so they are part of its peak.
    program_bytes = PROGRAM_BYTES + (COMPILER_BYTES if config.training.jit_compile else 0)
    replica_bytes: float = 3 * weight_bytes + average_bytes + pool_bytes + peak_live_bytes(graph)
    return program_bytes + num_replicas * replica_bytes
