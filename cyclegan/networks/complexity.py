"""How much a network computes."""

import keras
import tensorflow as tf


def multiply_adds(network: keras.Model, height: int, width: int) -> int:
    """Multiplications with additions in the convolutions of a network, for one image; what else it does is little.

    Args:
        network: a generator or a discriminator.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """
    image = tf.TensorSpec([1, height, width, network.input.shape[-1]], network.input.dtype)
    graph = tf.function(network, autograph=False).get_concrete_function(image).graph
    return sum(_of_operation(operation) for operation in graph.get_operations())


def _of_operation(operation: tf.Operation) -> int:
    """Every value of the smaller image, of the two that a convolution joins, meets each number of the kernel once."""
    if operation.type == "Conv2D":
        pixels, kernel = operation.outputs[0].shape, operation.inputs[1].shape
    elif operation.type == "Conv2DBackpropInput":  # a transposed convolution
        pixels, kernel = operation.inputs[2].shape, operation.inputs[1].shape
    elif operation.type == "DepthwiseConv2dNative":
        pixels, kernel = operation.outputs[0].shape, operation.inputs[1].shape
    else:
        return 0
    return pixels[1] * pixels[2] * kernel.num_elements()
