"""The blocks that generators and discriminators are built from. Each value of the configuration is an entry in a table.

Each block takes and returns a tensor [batch, height, width, channels] of a Keras functional graph. Padding is always
explicit and the same on all sides, as in PyTorch. The padding `same` of Keras pads a strided convolution on one side
only, which shifts the image and changes the size of the score map.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from cyclegan.config.networks import DiscriminatorConfig, GeneratorConfig
from cyclegan.networks.layers import SpectralConv2D

LEAKY_SLOPE = 0.2
"""Slope of every leaky ReLU for negative values (Radford et al. 2016)."""

NORM_EPSILON = 1e-5
"""What normalizations add to the variance before they divide by its root."""

NORM_GROUPS = 32
"""Groups of a group normalization (Wu and He 2018, section 4.1); fewer if this number does not divide the channels."""


class Style(NamedTuple):
    """Properties that all layers of a network have in common. The configuration explains them."""

    normalization: str
    affine: bool
    initializer: Callable[[], keras.initializers.Initializer]  # makes a new one for each layer
    downsampling: str
    padding: str
    dropout: float
    spectral_norm: bool
    given_statistics: bool
    dtype: str


def style_of(
    config: GeneratorConfig | DiscriminatorConfig,
    dtype: str,
    *,
    padding: str = "zero",
    spectral_norm: bool = False,
    given_statistics: bool = False,
) -> Style:
    """The style that a section of the configuration describes.

    Args:
        config: the section of the generators or of the discriminators.
        dtype: Keras dtype policy of every layer, such as "float32" or "mixed_bfloat16".
        padding: padding of the convolutions that keep the size of the image.
        spectral_norm: whether each kernel is divided by its largest singular value.
        given_statistics: whether normalizations take mean and variance from their weights, not from the image.
    """
    gain = config.initializer_gain or (0.02 if config.initializer == "normal" else 1.0)
    return Style(
        normalization=config.normalization,
        affine=config.is_affine,
        initializer=lambda: INITIALIZERS[config.initializer](gain),
        downsampling=config.downsampling,
        padding=padding,
        dropout=config.dropout,
        spectral_norm=spectral_norm,
        given_statistics=given_statistics,
        dtype=dtype,
    )


INITIALIZERS: dict[str, Callable[[float], keras.initializers.Initializer]] = {
    # Zhu et al. 2017, section 7.2, with gain 0.02.
    "normal": lambda gain: keras.initializers.RandomNormal(mean=0.0, stddev=gain),
    # Glorot and Bengio 2010, eq. 16, as a normal distribution.
    "glorot": lambda gain: keras.initializers.VarianceScaling(gain**2, "fan_avg", "untruncated_normal"),
    # He et al. 2015, eq. 10.
    "he": lambda gain: keras.initializers.VarianceScaling(2 * gain**2, "fan_in", "untruncated_normal"),
    # Saxe et al. 2014.
    "orthogonal": lambda gain: keras.initializers.Orthogonal(gain),
}
"""Initial distributions of the kernels, as functions of the gain. Biases start at zero."""

ACTIVATIONS: dict[str, Callable[..., keras.KerasTensor]] = {
    "relu": lambda x, name, dtype: keras.ops.relu(x),
    "leaky_relu": lambda x, name, dtype: keras.ops.leaky_relu(x, negative_slope=LEAKY_SLOPE),
    # Each channel has a trained slope, which starts at 0.25 (He et al. 2015, section 2.1).
    "prelu": lambda x, name, dtype: keras.layers.PReLU(
        keras.initializers.Constant(0.25), shared_axes=[1, 2], name=name, dtype=dtype
    )(x),
    "elu": lambda x, name, dtype: keras.ops.elu(x),  # Clevert et al. 2016
    "gelu": lambda x, name, dtype: keras.ops.gelu(x, approximate=False),  # Hendrycks and Gimpel 2016
    "sigmoid": lambda x, name, dtype: keras.ops.sigmoid(x),
    "tanh": lambda x, name, dtype: keras.ops.tanh(x),
}
"""Activations as functions of (x, name, dtype). Only activations with weights use the name and the dtype."""


def _group_norm(num_groups: Callable[[int], int]) -> Callable[..., keras.KerasTensor]:
    """Gives each group of channels of each image zero mean and unit variance."""

    def normalize(x: keras.KerasTensor, **options: Any) -> keras.KerasTensor:
        return keras.layers.GroupNormalization(groups=num_groups(x.shape[-1]), epsilon=NORM_EPSILON, **options)(x)

    return normalize


NORMALIZATIONS: dict[str, Callable[..., keras.KerasTensor]] = {
    # Ulyanov et al. 2016, eq. 4, without running statistics.
    "instance": _group_norm(lambda channels: -1),
    # Ioffe and Szegedy 2015, over the images of all replicas. Momentum 0.9 of Keras is momentum 0.1 of PyTorch.
    "batch": lambda x, **options: keras.layers.BatchNormalization(
        momentum=0.9, epsilon=NORM_EPSILON, synchronized=True, **options
    )(x),
    # Wu and He 2018.
    "group": _group_norm(lambda channels: math.gcd(NORM_GROUPS, channels)),
    # Ba et al. 2016, over height, width and channels.
    "layer": _group_norm(lambda channels: 1),
    "none": lambda x, **options: x,
}
"""Normalizations as functions of (x, options of the Keras layer). They compute at least in float32."""


def normalization(x: keras.KerasTensor, style: Style, *, name: str) -> keras.KerasTensor:
    """The normalization of the style. If it has a scale, the scale is drawn from normal(1, 0.02).

    With given statistics it is a batch normalization, whose moving mean and variance replace the mean and variance of
    the image.
    """
    given = style.given_statistics and style.normalization != "none"
    return NORMALIZATIONS["batch" if given else style.normalization](
        x,
        center=style.affine,
        scale=style.affine,
        gamma_initializer=keras.initializers.RandomNormal(mean=1.0, stddev=0.02) if style.affine else "ones",
        name=name,
        dtype=style.dtype,
    )


def _pad(mode: str) -> Callable[[keras.KerasTensor, int], keras.KerasTensor]:
    return lambda x, size: keras.ops.pad(x, [[0, 0], [size, size], [size, size], [0, 0]], mode=mode)


def _replicate_pad(x: keras.KerasTensor, size: int) -> keras.KerasTensor:
    for _ in range(size):
        x = _pad("symmetric")(x, 1)  # mirroring one pixel, the border included, repeats the border
    return x


PADDINGS: dict[str, Callable[[keras.KerasTensor, int], keras.KerasTensor]] = {
    "reflect": _pad("reflect"),  # does not repeat the border
    "replicate": _replicate_pad,
    "zero": _pad("constant"),
}
"""Paddings as functions of (x, pixels at each border)."""


def convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, style: Style, *, stride: int = 1, bias: bool = True, name: str
) -> keras.KerasTensor:
    """Convolution without padding."""
    layer = (SpectralConv2D if style.spectral_norm else keras.layers.Conv2D)(
        filters,
        kernel_size,
        strides=stride,
        padding="valid",
        use_bias=bias,
        kernel_initializer=style.initializer(),
        name=name,
        dtype=style.dtype,
    )
    return layer(x)


def same_convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, style: Style, *, bias: bool = True, name: str
) -> keras.KerasTensor:
    """Convolution with an odd kernel size, padded so that it keeps height and width."""
    x = PADDINGS[style.padding](x, kernel_size // 2)
    return convolution(x, filters, kernel_size, style, bias=bias, name=name)


def has_bias(style: Style) -> bool:
    """Whether a convolution before a normalization has a bias. Batch normalization would subtract the bias again."""
    return style.normalization != "batch"


def dropout(x: keras.KerasTensor, style: Style, *, name: str) -> keras.KerasTensor:
    """Sets random values to zero during training, at the rate of the style (Srivastava et al. 2014)."""
    return keras.layers.Dropout(style.dropout, name=name, dtype=style.dtype)(x) if style.dropout else x


def residual_block(x: keras.KerasTensor, style: Style, activation: str, *, name: str) -> keras.KerasTensor:
    """The input plus two padded 3x3 convolutions of it, each of them normalized, with an activation between them.

    Source: Johnson et al. 2016. There is no activation after the sum.
    """
    filters, bias = x.shape[-1], has_bias(style)
    y = same_convolution(x, filters, 3, style, bias=bias, name=f"{name}_conv_1")
    y = normalization(y, style, name=f"{name}_norm_1")
    y = ACTIVATIONS[activation](y, name=f"{name}_activation", dtype=style.dtype)
    y = dropout(y, style, name=f"{name}_dropout")
    y = same_convolution(y, filters, 3, style, bias=bias, name=f"{name}_conv_2")
    return x + normalization(y, style, name=f"{name}_norm_2")
