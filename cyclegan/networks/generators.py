"""Generators: an image of one domain in, an image of the other domain out."""

from collections.abc import Callable

import keras

from cyclegan.config.config import UNET_INNER_LEVEL, GeneratorConfig, image_dtype
from cyclegan.networks import blocks, resampling
from cyclegan.networks.blocks import Style


def build_generator(
    config: GeneratorConfig,
    channels_in: int = 3,
    channels_out: int = 3,
    *,
    name: str = "generator",
    dtype: str = "float32",
    image_size: tuple[int | None, int | None] = (None, None),
    given_statistics: bool = False,
) -> keras.Model:
    """The generator that `config.architecture` names.

    Weights are drawn from Keras' global random state: call `keras.utils.set_random_seed` before for repeatable ones.

    Args:
        config: the architecture and its parts.
        channels_in: channels of the images to translate.
        channels_out: channels of the translated images.
        name: name of the model.
        dtype: Keras dtype policy, such as "float32" or "mixed_bfloat16". The output is never below float32.
        image_size: height and width of all images, if they are to be fixed.
        given_statistics: normalize by mean and variance from the weights, not by those of each image.

    Returns:
        A model from [batch, height, width, channels_in] in [-1, 1] to [batch, height, width, channels_out] in (-1, 1);
        height and width multiples of `config.size_multiple`, at least `config.min_size`.
    """
    padding = config.padding if config.architecture == "resnet" else "zero"
    style = blocks.style_of(config, dtype, padding=padding, given_statistics=given_statistics)
    image = keras.Input((*image_size, channels_in), name="image", dtype=image_dtype(dtype))
    # With a sigmoid at the end the network works in [0, 1] at both ends, its surroundings in [-1, 1] as ever.
    x = (image + 1) / 2 if config.output == "sigmoid" else image
    x = ARCHITECTURES[config.architecture](x, config, channels_out, style)
    x = keras.layers.Activation(config.output, name="output", dtype=image_dtype(dtype))(x)
    return keras.Model(image, 2 * x - 1 if config.output == "sigmoid" else x, name=name)


def _resnet(x: keras.KerasTensor, config: GeneratorConfig, channels_out: int, style: Style) -> keras.KerasTensor:
    """ResNet generator of Zhu et al. 2017, section 7.2, with the padding of its PyTorch implementation."""
    filters, bias = config.filters, blocks.has_bias(style)
    activation = config.activation or "relu"

    def finish(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        x = blocks.normalization(x, style, name=f"{name}_norm")
        return blocks.ACTIVATIONS[activation](x, name=f"{name}_activation", dtype=style.dtype)

    x = finish(blocks.same_convolution(x, filters, 7, style, bias=bias, name="first_conv"), "first")
    # [batch, h, w, f]

    for level in (1, 2):
        x = resampling.halving_convolution(x, filters * 2**level, 3, style, bias=bias, name=f"down_{level}_conv")
        x = resampling.pool(finish(x, f"down_{level}"), style, name=f"down_{level}_pool")
    # [batch, h/4, w/4, 4f]

    for index in range(1, config.num_blocks + 1):
        x = blocks.residual_block(x, style, activation, name=f"residual_{index}")

    for level in (1, 2):
        upsample = resampling.UPSAMPLINGS[config.upsampling]
        x = finish(upsample(x, filters * 2 ** (2 - level), 3, style, bias, f"up_{level}_conv"), f"up_{level}")
    # [batch, h, w, f]

    return blocks.same_convolution(x, channels_out, 7, style, name="last_conv")


def _unet(x: keras.KerasTensor, config: GeneratorConfig, channels_out: int, style: Style) -> keras.KerasTensor:
    """U-Net of Isola et al. 2017, section 6.1.1, as its PyTorch implementation has it.

    Level 1 is the outermost. There is no normalization at the outermost level, nor on the way down at the innermost.
    What a skip connection carries is the activated output of its level.
    """
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


ARCHITECTURES: dict[str, Callable[[keras.KerasTensor, GeneratorConfig, int, Style], keras.KerasTensor]] = {
    "resnet": _resnet,
    "unet": _unet,
}
"""Networks of (image, config, channels out, style), up to but not including the last function."""
