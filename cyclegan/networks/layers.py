"""Keras layers that Keras itself does not have."""

from typing import Any

import keras
import numpy as np


class SpectralConv2D(keras.layers.Conv2D):  # type: ignore[misc]  # Keras ships no types
    """Convolution whose kernel, as a matrix [height * width * in, out], is divided by its largest singular value.

    In training, each call improves the estimate of the singular vector by one power iteration. Gradients flow through
    the singular value, but not through the vector. The wrapper of Keras would overwrite the kernel that the optimizer
    trains.

    Source: Miyato et al. 2018, algorithm 1.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Adds the singular vector [out] to the weights of the convolution."""
        super().build(input_shape)
        self.vector = self.add_weight(
            shape=(self.filters,),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            trainable=False,
            # It is the same on every replica, because it depends on the kernel alone. So each assigns its own.
            aggregation="none",
            autocast=False,
            name="vector",
        )

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Convolves the inputs with the divided kernel."""
        ops = keras.ops
        matrix = ops.reshape(ops.cast(self.kernel, self.variable_dtype), (-1, self.filters))
        fixed = ops.stop_gradient(matrix)

        def unit(vector: keras.KerasTensor) -> keras.KerasTensor:
            return vector / (ops.norm(vector) + 1e-12)

        out_vector = unit(ops.convert_to_tensor(self.vector))
        in_vector = unit(ops.matmul(fixed, out_vector))
        if training:
            out_vector = unit(ops.matmul(in_vector, fixed))
            self.vector.assign(out_vector)
        largest = ops.sum(in_vector * ops.matmul(matrix, out_vector))
        kernel = ops.cast(ops.reshape(matrix / largest, self.kernel.shape), inputs.dtype)
        outputs = ops.conv(inputs, kernel, strides=self.strides, padding=self.padding)
        return outputs + ops.cast(self.bias, outputs.dtype) if self.use_bias else outputs


@keras.saving.register_keras_serializable("cyclegan")
class StochasticPooling(keras.layers.Layer):  # type: ignore[misc]
    """Pooling that draws one of each 2x2 values with a probability proportional to it.

        p_i = max(a_i, 0) / sum_k max(a_k, 0)        training: a_l with l drawn from p; otherwise sum_i p_i a_i

    If none of the four values is positive, all have the same probability.

    Source: Zeiler and Fergus 2013, eq. 4 to 6, where no value is negative.
    """

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Pools [batch, height, width, channels] to half the height and width, rounded down."""
        ops = keras.ops
        height, width = (size // 2 * 2 for size in ops.shape(inputs)[1:3])
        inputs = inputs[:, :height, :width]
        values = ops.stack([inputs[:, row::2, column::2] for row in (0, 1) for column in (0, 1)], axis=-1)
        positive = ops.relu(values)
        weights = ops.where(ops.any(positive > 0, axis=-1, keepdims=True), positive, ops.ones_like(values))
        if not training:
            return ops.sum(weights * values, axis=-1) / ops.sum(weights, axis=-1)
        upper = ops.cumsum(weights, axis=-1)
        draw = keras.random.uniform(ops.shape(values)[:-1], dtype=values.dtype, seed=self.seed_generator)
        chosen = ops.sum(ops.cast(draw[..., None] * upper[..., 3:] >= upper[..., :3], "int32"), axis=-1)
        return ops.sum(ops.one_hot(chosen, 4, dtype=values.dtype) * values, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Halves the height and width where they are known."""
        batch, height, width, channels = input_shape
        return (batch, height and height // 2, width and width // 2, channels)


@keras.saving.register_keras_serializable("cyclegan")
class BlurPooling(keras.layers.Layer):  # type: ignore[misc]
    """Pooling that blurs the image by [1, 2, 1] / 4 in both directions and keeps every second pixel.

    The image is reflected at its border.

    Source: Zhang 2019, section 3.2, filter Triangle-3.
    """

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Pools [batch, height, width, channels] to half the height and width, rounded up."""
        padded = keras.ops.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
        return _blur(padded, strides=2)


@keras.saving.register_keras_serializable("cyclegan")
class BilinearUpsampling(keras.layers.Layer):  # type: ignore[misc]
    """Doubles height and width by linear interpolation between the centres of the pixels.

    Each pixel is repeated in both directions, and the result is blurred by [1, 2, 1] / 4, which mixes neighbouring
    pixels 3 to 1. The resize of Keras needs a known image size in a graph.
    """

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Resizes [batch, height, width, channels] to twice the height and width."""
        repeated = keras.ops.repeat(keras.ops.repeat(inputs, 2, axis=1), 2, axis=2)
        return _blur(keras.ops.pad(repeated, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="symmetric"), strides=1)


def _blur(x: keras.KerasTensor, strides: int) -> keras.KerasTensor:
    """Convolves each channel with [1, 2, 1] / 4 in both directions without padding."""
    row = np.array([1.0, 2.0, 1.0]) / 4
    kernel = np.tile(np.outer(row, row)[:, :, None, None], (1, 1, x.shape[-1], 1))
    return keras.ops.depthwise_conv(x, keras.ops.cast(kernel, x.dtype), strides=strides, padding="valid")
