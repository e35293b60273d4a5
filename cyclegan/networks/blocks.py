"""The blocks that generators and discriminators are built from.

Each block takes and returns a tensor [batch, height, width, channels] of a Keras functional graph. Padding is always
written out, as PyTorch does it: Keras' `same` pads a strided convolution at one side only, which shifts
the image and changes the size of the score map.
"""

import keras

LEAKY_SLOPE = 0.2
"""Negative slope of every leaky ReLU (Radford et al. 2016)."""

INSTANCE_NORM_EPSILON = 1e-5


def weight_initializer() -> keras.initializers.Initializer:
    """Normal(0, 0.02), the initialisation of every kernel (Zhu et al. 2017, section 7.2); biases start at zero."""
    return keras.initializers.RandomNormal(mean=0.0, stddev=0.02)


def reflect_pad(x: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """Mirrors `size` pixels at each border, without repeating the border itself."""
    return keras.ops.pad(x, [[0, 0], [size, size], [size, size], [0, 0]], mode="reflect")


def zero_pad(x: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """Adds `size` rows and columns of zeros at each border."""
    return keras.ops.pad(x, [[0, 0], [size, size], [size, size], [0, 0]])


def convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, *, stride: int = 1, name: str, dtype: str
) -> keras.KerasTensor:
    """Convolution with bias and no padding of its own."""
    layer = keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding="valid",
        kernel_initializer=weight_initializer(),
        name=name,
        dtype=dtype,
    )
    return layer(x)


def upsampling_convolution(x: keras.KerasTensor, filters: int, *, name: str, dtype: str) -> keras.KerasTensor:
    """3x3 transposed convolution with stride 2: exactly twice the height and width.

    Equals PyTorch's ConvTranspose2d(kernel 3, stride 2, padding 1, output_padding 1): the full result without its
    first row and column. Keras' `same` would drop the last ones.
    """
    layer = keras.layers.Conv2DTranspose(
        filters,
        3,
        strides=2,
        padding="valid",
        kernel_initializer=weight_initializer(),
        name=name,
        dtype=dtype,
    )
    return layer(x)[:, 1:, 1:, :]


def instance_norm(x: keras.KerasTensor, *, name: str, dtype: str) -> keras.KerasTensor:
    """Zero mean and unit variance per image and channel, without scale, offset or running statistics.

    Source: Ulyanov et al. 2016, eq. 4. Computed in float32 at least, whatever the precision of the network.
    """
    layer = keras.layers.GroupNormalization(
        groups=-1, epsilon=INSTANCE_NORM_EPSILON, center=False, scale=False, name=name, dtype=dtype
    )
    return layer(x)


def relu(x: keras.KerasTensor) -> keras.KerasTensor:
    """max(x, 0)."""
    return keras.ops.relu(x)


def leaky_relu(x: keras.KerasTensor) -> keras.KerasTensor:
    """max(x, 0.2 x)."""
    return keras.ops.leaky_relu(x, negative_slope=LEAKY_SLOPE)


def residual_block(x: keras.KerasTensor, *, name: str, dtype: str) -> keras.KerasTensor:
    """X + f(x) with f two reflect-padded 3x3 convolutions, each instance-normalised, a ReLU between them.

    Source: Johnson et al. 2016; without an activation after the sum.
    """
    filters = x.shape[-1]
    y = convolution(reflect_pad(x, 1), filters, 3, name=f"{name}_conv_1", dtype=dtype)
    y = relu(instance_norm(y, name=f"{name}_norm_1", dtype=dtype))
    y = convolution(reflect_pad(y, 1), filters, 3, name=f"{name}_conv_2", dtype=dtype)
    return x + instance_norm(y, name=f"{name}_norm_2", dtype=dtype)
