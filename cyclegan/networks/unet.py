"""The U-Net generator: an encoder and a decoder with a skip connection between them at each level."""

import keras

from cyclegan.config.networks import UNET_INNER_LEVEL, GeneratorConfig
from cyclegan.networks import blocks, resampling
from cyclegan.networks.blocks import Style


def network(x: keras.KerasTensor, config: GeneratorConfig, channels_out: int, style: Style) -> keras.KerasTensor:
    """The U-Net of Isola et al. 2017, section 6.1.1, as in its PyTorch implementation.

    Level 1 is the outermost. Neither the outermost level nor the innermost convolution of the encoder is normalized.
    A skip connection carries the output of its level after the activation.
    """
    style = style._replace(padding="zero")  # `generator.padding` is for resnets only
    depth, bias = config.num_levels, blocks.has_bias(style)
    widths = [config.filters * min(2 ** (level - 1), 8) for level in range(1, depth + 1)]

    def activate(x: keras.KerasTensor, default: str, name: str) -> keras.KerasTensor:
        return blocks.ACTIVATIONS[config.activation or default](x, name=f"{name}_activation", dtype=style.dtype)

    skips = []
    for level, width in enumerate(widths, start=1):
        name = f"down_{level}"
        x = resampling.halving_convolution(x, width, 4, style, bias=bias, name=f"{name}_conv")
        if 1 < level < depth:
            x = blocks.normalization(x, style, name=f"{name}_norm")
        x = activate(x, "leaky_relu" if level < depth else "relu", name)
        x = resampling.pool(x, style, name=f"{name}_pool")  # [batch, h / 2^level, w / 2^level, width]
        skips.append(x)

    upsample = resampling.UPSAMPLINGS[config.upsampling]
    for level in range(depth, 1, -1):
        name = f"up_{level}"
        if level < depth:
            x = activate(keras.ops.concatenate([skips[level - 1], x], axis=-1), "relu", name)
        x = upsample(x, widths[level - 2], 4, style, bias, f"{name}_conv")
        x = blocks.normalization(x, style, name=f"{name}_norm")
        if UNET_INNER_LEVEL <= level < depth:
            x = blocks.dropout(x, style, name=f"{name}_dropout")
    x = activate(keras.ops.concatenate([skips[0], x], axis=-1), "relu", "up_1")
    return upsample(x, channels_out, 4, style, True, "up_1_conv")


def min_layers(config: GeneratorConfig) -> int:
    """The number of convolutions: one in the encoder and one in the decoder for each level."""
    return 2 * config.num_levels
