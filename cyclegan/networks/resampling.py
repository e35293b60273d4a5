"""The layers that halve or double height and width; each value of the configuration is one entry here."""

from collections.abc import Callable

import keras

from cyclegan.networks.blocks import PADDINGS, Style, convolution, same_convolution
from cyclegan.networks.layers import BilinearUpsampling, BlurPooling, StochasticPooling

# Half the size: a strided convolution sees zeros around, whatever the padding of the style.

POOLINGS: dict[str, Callable[..., keras.KerasTensor]] = {
    "max": lambda x, name, dtype: keras.layers.MaxPooling2D(2, name=name, dtype=dtype)(x),
    "average": lambda x, name, dtype: keras.layers.AveragePooling2D(2, name=name, dtype=dtype)(x),
    # Zeiler and Fergus 2013.
    "stochastic": lambda x, name, dtype: StochasticPooling(name=name, dtype=dtype)(x),
    # Zhang 2019.
    "blur": lambda x, name, dtype: BlurPooling(name=name, dtype=dtype)(x),
}
"""Poolings of (x, name, dtype) from windows of 2x2 pixels, or around them, to one pixel."""


def halving_convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, style: Style, *, bias: bool = True, name: str
) -> keras.KerasTensor:
    """The convolution of a layer that halves height and width.

    Strided, with kernel size 3 or 4; with a pooling a 3x3 one that keeps the size, which `pool` halves.
    """
    if style.downsampling != "strided":
        return same_convolution(x, filters, 3, style, bias=bias, name=name)
    return convolution(PADDINGS["zero"](x, 1), filters, kernel_size, style, stride=2, bias=bias, name=name)


def pool(x: keras.KerasTensor, style: Style, *, name: str) -> keras.KerasTensor:
    """The end of a layer that halves height and width, after the activation; nothing after a strided convolution."""
    return x if style.downsampling == "strided" else POOLINGS[style.downsampling](x, name=name, dtype=style.dtype)


# Twice the size.


def _transposed_convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, style: Style, bias: bool, name: str
) -> keras.KerasTensor:
    """Transposed convolution with stride 2, cropped to exactly twice the height and width.

    Equals PyTorch's ConvTranspose2d(stride=2, padding=1) with kernel size 4, or 3 and output_padding=1: the full result
    without its first row and column, and without its last ones with kernel size 4. Keras' `same` would drop others.
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
    """Resize to twice the size, then a 3x3 convolution (Odena et al. 2016)."""

    def upsample(
        x: keras.KerasTensor, filters: int, kernel_size: int, style: Style, bias: bool, name: str
    ) -> keras.KerasTensor:
        if interpolation == "nearest":
            # XLA does not compile the gradient of a resize by nearest neighbours.
            x = keras.ops.repeat(keras.ops.repeat(x, 2, axis=1), 2, axis=2)
        else:
            x = BilinearUpsampling(name=f"{name}_resize", dtype=style.dtype)(x)
        return same_convolution(x, filters, 3, style, bias=bias, name=name)

    return upsample


def _subpixel_convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, style: Style, bias: bool, name: str
) -> keras.KerasTensor:
    """A 3x3 convolution to four times the channels, which become 2x2 pixels (Shi et al. 2016, eq. 4)."""
    return keras.ops.depth_to_space(same_convolution(x, 4 * filters, 3, style, bias=bias, name=name), 2)


UPSAMPLINGS: dict[str, Callable[..., keras.KerasTensor]] = {
    "transposed": _transposed_convolution,
    "nearest": _resize_convolution("nearest"),
    "bilinear": _resize_convolution("bilinear"),
    "subpixel": _subpixel_convolution,
}
"""Layers of (x, filters, kernel size of a transposed convolution, style, bias, name) that double height and width."""
