"""Discriminators: networks that give each patch of an image a score, high for real and low for translated images."""

from collections.abc import Callable

import keras

from cyclegan.config.networks import DiscriminatorConfig
from cyclegan.config.sections import image_dtype
from cyclegan.networks import blocks, resampling
from cyclegan.networks.blocks import Style


def build_discriminator(
    config: DiscriminatorConfig,
    channels: int = 3,
    *,
    name: str = "discriminator",
    dtype: str = "float32",
) -> keras.Model:
    """The discriminator that `config.architecture` names.

    Args:
        config: the architecture and its parts.
        channels: number of channels of the images to judge.
        name: name of the model.
        dtype: Keras dtype policy. The scores have at least float32.

    Returns:
        A model from images [batch, height, width, channels] in [-1, 1] to unbounded scores [batch, h, w, 1]. With
        three layers, 256 x 256 pixels give 30 x 30 scores. "multiscale" gives a list of such maps.
    """
    style = blocks.style_of(config, dtype, spectral_norm=config.spectral_norm)
    image = keras.Input((None, None, channels), name="image", dtype=image_dtype(dtype))
    maps = [keras.ops.cast(x, image_dtype(dtype)) for x in ARCHITECTURES[config.architecture](image, config, style)]
    return keras.Model(image, maps if len(maps) > 1 else maps[0], name=name)


def _hidden_end(
    x: keras.KerasTensor, config: DiscriminatorConfig, style: Style, name: str, suffix: object
) -> keras.KerasTensor:
    """Activation and dropout at the end of a hidden layer."""
    x = blocks.ACTIVATIONS[config.activation or "leaky_relu"](x, name=f"{name}activation_{suffix}", dtype=style.dtype)
    return blocks.dropout(x, style, name=f"{name}dropout_{suffix}")


def _patch(
    x: keras.KerasTensor, config: DiscriminatorConfig, style: Style, prefix: str = ""
) -> list[keras.KerasTensor]:
    """The PatchGAN of Isola et al. 2017, section 6.1.2. With three layers each score depends on 70x70 pixels."""
    x = resampling.halving_convolution(x, config.filters, 4, style, name=f"{prefix}conv_0")
    x = resampling.pool(_hidden_end(x, config, style, prefix, 0), style, name=f"{prefix}pool_0")

    for level in range(1, config.num_layers + 1):
        filters, bias, name = config.filters * min(2**level, 8), blocks.has_bias(style), f"{prefix}conv_{level}"
        halves = level < config.num_layers
        if halves:
            x = resampling.halving_convolution(x, filters, 4, style, bias=bias, name=name)
        else:
            x = blocks.convolution(blocks.PADDINGS["zero"](x, 1), filters, 4, style, bias=bias, name=name)
        x = blocks.normalization(x, style, name=f"{prefix}norm_{level}")
        x = _hidden_end(x, config, style, prefix, level)
        x = resampling.pool(x, style, name=f"{prefix}pool_{level}") if halves else x

    return [blocks.convolution(blocks.PADDINGS["zero"](x, 1), 1, 4, style, name=f"{prefix}scores")]


def _pixel(x: keras.KerasTensor, config: DiscriminatorConfig, style: Style) -> list[keras.KerasTensor]:
    """The PixelGAN of Isola et al. 2017, section 6.1.2: with 1x1 convolutions each score depends on one pixel."""
    bias = blocks.has_bias(style)
    x = _hidden_end(blocks.convolution(x, config.filters, 1, style, name="conv_0"), config, style, "", 0)
    x = blocks.convolution(x, 2 * config.filters, 1, style, bias=bias, name="conv_1")
    x = _hidden_end(blocks.normalization(x, style, name="norm_1"), config, style, "", 1)
    return [blocks.convolution(x, 1, 1, style, bias=bias, name="scores")]


def _multiscale(x: keras.KerasTensor, config: DiscriminatorConfig, style: Style) -> list[keras.KerasTensor]:
    """One PatchGAN for the image and one for each smaller scale of it (Wang et al. 2018, section 3.2).

    Each scale has half the height and width of the one before: its pixels are the means of 2x2 pixels.
    """
    maps = []
    for scale in range(1, config.num_scales + 1):
        maps += _patch(x, config, style, prefix=f"scale_{scale}_")
        x = keras.ops.average_pool(x, 2)
    return maps


ARCHITECTURES: dict[str, Callable[[keras.KerasTensor, DiscriminatorConfig, Style], list[keras.KerasTensor]]] = {
    "patch": _patch,
    "pixel": _pixel,
    "multiscale": _multiscale,
}
"""Networks from (image, config, style) to a list of score maps."""
