"""The Keras layers that Keras does not have."""

from typing import Any

import keras
import numpy as np


class SpectralConv2D(keras.layers.Conv2D):
    """Convolution whose kernel is divided by its largest singular value, as a matrix [height * width * in, out].

    One power iteration in each call in training follows the singular vector; its gradient is left out, that of the
    singular value is not. Keras' own wrapper would overwrite the kernel that the optimizer trains.

    Source: Miyato et al. 2018, algorithm 1.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Adds the singular vector [out] to the weights of a convolution."""
        super().build(input_shape)
        self.vector = self.add_weight(
            shape=(self.filters,),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            trainable=False,
            # The same on every replica, because it depends on the kernel alone.
            aggregation="only_first_replica",
            autocast=False,
            name="vector",
        )

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Convolves with the divided kernel."""
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
class StochasticPooling(keras.layers.Layer):
    """One of each 2x2 values, drawn with a probability proportional to it.

        p_i = max(a_i, 0) / sum_k max(a_k, 0)        training: a_l with l drawn from p; otherwise sum_i p_i a_i

    Alike for all four where none is positive.

    Source: Zeiler and Fergus 2013, eq. 4 to 6, which have no negative values.
    """

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """[batch, height, width, channels] to half the height and width, rounded down."""
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
        """Half the height and width, where they are known."""
        batch, height, width, channels = input_shape
        return (batch, height and height // 2, width and width // 2, channels)


@keras.saving.register_keras_serializable("cyclegan")
class BlurPooling(keras.layers.Layer):
    """Every second pixel of the image blurred by [1, 2, 1] / 4 in both directions, reflected at the border.

    Source: Zhang 2019, section 3.2, filter Triangle-3.
    """

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """[batch, height, width, channels] to half the height and width, rounded up."""
        padded = keras.ops.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
        return _blur(padded, strides=2)


@keras.saving.register_keras_serializable("cyclegan")
class BilinearUpsampling(keras.layers.Layer):
    """Twice the height and width by linear interpolation between the centres of the pixels.

    Each pixel four times, then blurred by [1, 2, 1] / 4, which mixes neighbours 3 to 1. Keras' own resize asks for a
    known size in a graph.
    """

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """[batch, height, width, channels] to twice the height and width."""
        repeated = keras.ops.repeat(keras.ops.repeat(inputs, 2, axis=1), 2, axis=2)
        return _blur(keras.ops.pad(repeated, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="symmetric"), strides=1)


def _blur(x: keras.KerasTensor, strides: int) -> keras.KerasTensor:
    """Convolves each channel with [1, 2, 1] / 4 in both directions, without padding."""
    row = np.array([1.0, 2.0, 1.0]) / 4
    kernel = np.tile(np.outer(row, row)[:, :, None, None], (1, 1, x.shape[-1], 1))
    return keras.ops.depthwise_conv(x, keras.ops.cast(kernel, x.dtype), strides=strides, padding="valid")
