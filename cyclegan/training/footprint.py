"""The memory that a training step needs, estimated from its graph before anything is computed."""

import os
from collections.abc import Sequence

import keras
import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.runtime.memory import peak_live_bytes
from cyclegan.training.gradients import compute_gradients
from cyclegan.training.state import State

PROGRAM_BYTES = 850e6
"""Memory of a process with TensorFlow, Keras and the traced step before it holds a single image, in bytes."""

REPLICA_BYTES = 150e6
"""Memory that each further replica on a CPU adds with its own part of the graph, in bytes."""

READING_BYTES = 18
"""Memory of an image that is being read: 12 bytes a pixel for RGB in float32, and half of that while it is made."""

COMPILER_BYTES = 500e6
"""Memory that XLA adds when it compiles the step, in bytes. `jit_compile: auto` compiles it too, to time it."""


def estimate_peak_bytes(state: State, config: Config, num_replicas: int, on_host: bool = True) -> float:
    """Peak memory of training on the CPU of one machine or on each GPU, in bytes.

    The operations of the gradients' graph are gone through in order. A tensor is counted from the operation that makes
    it to the last operation that reads it. The update, which comes after them, holds the gradients and the new weights,
    moments and averages. The larger of the two is added to the state. The constants were measured on Linux. Images that
    are being read count as squares of `data.load_size`, two for each core.

    Args:
        state: built, and not run yet.
        config: the whole configuration.
        num_replicas: the number of replicas that share the memory.
        on_host: whether it is the memory of the machine, which also holds the images that are being read and the copy
            of the state that is written as a checkpoint.
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

    def bytes_of(variables: Sequence[keras.Variable | tf.Variable]) -> int:
        return sum(int(tf.size(variable)) * tf.convert_to_tensor(variable).dtype.size for variable in variables)

    weights = bytes_of([*state.generator_variables, *state.discriminator_variables])
    moments = bytes_of([moment for own in state.generator_moments + state.discriminator_moments for moment in own])
    changed = weights + moments + bytes_of(state.average_variables)
    state_bytes = changed + bytes_of([state.pool_a.images, state.pool_b.images])
    replica_bytes = state_bytes + max(peak_live_bytes(graph), weights + changed)
    if config.training.accumulate_steps > 1:  # the sums of the gradients, and the images and fakes of all parts
        image_bytes = data.crop_size**2 * (data.channels_a + data.channels_b) * dtype.size
        replica_bytes += weights + 2 * config.training.replica_batch * image_bytes
    program_bytes = PROGRAM_BYTES + (COMPILER_BYTES if config.training.jit_compile else 0)
    peak = program_bytes + num_replicas * replica_bytes
    if on_host:
        images_in_flight = 2 * (os.cpu_count() or 1)
        peak += (num_replicas - 1) * REPLICA_BYTES + state_bytes
        peak += images_in_flight * data.load_size**2 * READING_BYTES
    return peak
