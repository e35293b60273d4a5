"""The layers that halve or double height and width. Each value of the configuration is an entry in a table."""

from collections.abc import Callable

import keras

from cyclegan.networks.blocks import PADDINGS, Style, convolution, same_convolution
from cyclegan.networks.layers import BilinearUpsampling, BlurPooling, StochasticPooling

POOLINGS: dict[str, Callable[..., keras.KerasTensor]] = {
    "max": lambda x, name, dtype: keras.layers.MaxPooling2D(2, name=name, dtype=dtype)(x),
    "average": lambda x, name, dtype: keras.layers.AveragePooling2D(2, name=name, dtype=dtype)(x),
    # Zeiler and Fergus 2013.
    "stochastic": lambda x, name, dtype: StochasticPooling(name=name, dtype=dtype)(x),
    # Zhang 2019.
    "blur": lambda x, name, dtype: BlurPooling(name=name, dtype=dtype)(x),
}
"""Poolings as functions of (x, name, dtype). Each turns 2x2 pixels into one; blur also reads the pixels around them."""


def halving_convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, style: Style, *, bias: bool = True, name: str
) -> keras.KerasTensor:
    """The convolution of a layer that halves height and width.

    A strided convolution has kernel size 3 or 4 and is padded with zeros, independently of the padding of the style. If
    a pooling halves the size, the convolution is a 3x3 convolution that keeps it.
    """
    if style.downsampling != "strided":
        return same_convolution(x, filters, 3, style, bias=bias, name=name)
    return convolution(PADDINGS["zero"](x, 1), filters, kernel_size, style, stride=2, bias=bias, name=name)


def pool(x: keras.KerasTensor, style: Style, *, name: str) -> keras.KerasTensor:
    """The pooling at the end of a layer that halves height and width. After a strided convolution it does nothing."""
    return x if style.downsampling == "strided" else POOLINGS[style.downsampling](x, name=name, dtype=style.dtype)


def _transposed_convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, style: Style, bias: bool, name: str
) -> keras.KerasTensor:
    """Transposed convolution with stride 2, cropped to exactly twice the height and width.

    It equals ConvTranspose2d(stride=2, padding=1) of PyTorch with kernel size 4, or with kernel size 3 and
    output_padding=1. The first row and column of the full result are dropped, and with kernel size 4 the last ones,
    too. The padding `same` of Keras would drop other rows and columns.
    """
    layer = keras.layers.Conv2DTranspose(
        filters,
        kernel_size,
        strides=2,
        padding="valid",
        use_bias=bias,
        kernel_initializer=style.initializer(),
        name=name,
        dtype=style.dtype,
    )
    full = layer(x)
    return full[:, 1:, 1:, :] if kernel_size == 3 else full[:, 1:-1, 1:-1, :]


def _resize_convolution(interpolation: str) -> Callable[..., keras.KerasTensor]:
    """Resizes to twice the height and width, then applies a 3x3 convolution (Odena et al. 2016)."""

    def upsample(
        x: keras.KerasTensor, filters: int, kernel_size: int, style: Style, bias: bool, name: str
    ) -> keras.KerasTensor:
        if interpolation == "nearest":
            # XLA cannot compile the gradient of a nearest-neighbour resize.
            x = keras.ops.repeat(keras.ops.repeat(x, 2, axis=1), 2, axis=2)
        else:
            x = BilinearUpsampling(name=f"{name}_resize", dtype=style.dtype)(x)
        return same_convolution(x, filters, 3, style, bias=bias, name=name)

    return upsample


def _subpixel_convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, style: Style, bias: bool, name: str
) -> keras.KerasTensor:
    """A 3x3 convolution to four times the filters; four channels become 2x2 pixels (Shi et al. 2016, eq. 4)."""
    return keras.ops.depth_to_space(same_convolution(x, 4 * filters, 3, style, bias=bias, name=name), 2)


UPSAMPLINGS: dict[str, Callable[..., keras.KerasTensor]] = {
    "transposed": _transposed_convolution,
    "nearest": _resize_convolution("nearest"),
    "bilinear": _resize_convolution("bilinear"),
    "subpixel": _subpixel_convolution,
}
"""Layers that double height and width, as functions of (x, filters, kernel size, style, bias, name).

Only transposed convolutions use the kernel size; all other kernels are 3x3.
"""
