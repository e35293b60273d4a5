"""The ResNet generator: an encoder, residual blocks and a decoder."""

import keras

from cyclegan.config.networks import GeneratorConfig
from cyclegan.config.sections import image_dtype
from cyclegan.networks import blocks, resampling
from cyclegan.networks.blocks import Style

BLUR = 17
"""The height and width, in pixels, over which the shortcut `blurred` takes the mean; the border is left out."""


def network(x: keras.KerasTensor, config: GeneratorConfig, channels_out: int, style: Style) -> keras.KerasTensor:
    """The ResNet generator of Zhu et al. 2017, section 7.2, with the padding of its PyTorch implementation.

    The first normalization sees a linear function of the image. If it is that of each image and channel, then nothing
    after it depends on the brightness and the contrast of the image; `generator.shortcut` gives them back.
    """
    filters, bias = config.filters, blocks.has_bias(style)
    activation = config.activation or "relu"

    def finish(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        x = blocks.normalization(x, style, name=f"{name}_norm")
        return blocks.ACTIVATIONS[activation](x, name=f"{name}_activation", dtype=style.dtype)

    image = x
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

    if config.shortcut == "blurred":
        image = keras.layers.AveragePooling2D(
            BLUR, strides=1, padding="same", name="shortcut_blur", dtype=image_dtype(style.dtype)
        )(image)
    if config.shortcut != "none":
        x = keras.ops.concatenate([x, keras.ops.cast(image, x.dtype)], axis=-1)
    return blocks.same_convolution(x, channels_out, 7, style, name="last_conv")


def min_layers(config: GeneratorConfig) -> int:
    """Lower bound of the number of convolutions, from the residual blocks alone."""
    return 2 * config.num_blocks
