"""The cost of a network in multiplications and additions."""

import keras
import tensorflow as tf


def multiply_adds(network: keras.Model, height: int, width: int) -> int:
    """Number of multiply-adds in the convolutions of a network for one image. All other operations cost little.

    Args:
        network: a generator or a discriminator.
        height: height of the image in pixels.
        width: width of the image in pixels.
    """
    image = tf.TensorSpec([1, height, width, network.input.shape[-1]], network.input.dtype)
    graph = tf.function(network, autograph=False).get_concrete_function(image).graph
    return sum(_multiply_adds_of(operation) for operation in graph.get_operations())


def _multiply_adds_of(operation: tf.Operation) -> int:
    """A convolution joins two feature maps. Each pixel of the smaller map meets each number of the kernel once."""
    if operation.type == "Conv2D":
        pixels, kernel = operation.outputs[0].shape, operation.inputs[1].shape
    elif operation.type == "Conv2DBackpropInput":  # a transposed convolution
        pixels, kernel = operation.inputs[2].shape, operation.inputs[1].shape
    elif operation.type == "DepthwiseConv2dNative":
        pixels, kernel = operation.outputs[0].shape, operation.inputs[1].shape
    else:
        return 0
    count: int = pixels[1] * pixels[2] * kernel.num_elements()
    return count
