"""Generators: an image of one domain in, an image of the other domain out."""

from collections.abc import Callable

import keras

from cyclegan.config.config import GeneratorConfig, image_dtype
from cyclegan.networks import blocks
from cyclegan.networks.blocks import Style
from cyclegan.networks.resnet import resnet
from cyclegan.networks.unet import unet


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


ARCHITECTURES: dict[str, Callable[[keras.KerasTensor, GeneratorConfig, int, Style], keras.KerasTensor]] = {
    "resnet": resnet,
    "unet": unet,
}
"""Networks of (image, config, channels out, style), up to but not including the last function."""
