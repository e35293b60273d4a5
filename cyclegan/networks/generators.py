"""Generators: an image of one domain in, an image of the other domain out."""

from collections.abc import Callable
from typing import NamedTuple

import keras

from cyclegan.config.config import GeneratorConfig, image_dtype
from cyclegan.networks import blocks, resnet, unet
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
    style = blocks.style_of(config, dtype, padding=config.padding, given_statistics=given_statistics)
    image = keras.Input((*image_size, channels_in), name="image", dtype=image_dtype(dtype))
    # With a sigmoid at the end the network works in [0, 1] at both ends, its surroundings in [-1, 1] as ever.
    x = (image + 1) / 2 if config.output == "sigmoid" else image
    x = ARCHITECTURES[config.architecture].network(x, config, channels_out, style)
    x = keras.layers.Activation(config.output, name="output", dtype=image_dtype(dtype))(x)
    return keras.Model(image, 2 * x - 1 if config.output == "sigmoid" else x, name=name)


class Architecture(NamedTuple):
    """One family of generators, from a module of its own."""

    network: Callable[[keras.KerasTensor, GeneratorConfig, int, Style], keras.KerasTensor]
    """From (image, config, channels out, style) to the input of the last function."""
    min_layers: Callable[[GeneratorConfig], int]
    """Lower bound of the number of convolutions, known before the network is built."""


ARCHITECTURES = {
    "resnet": Architecture(resnet.network, resnet.min_layers),
    "unet": Architecture(unet.network, unet.min_layers),
}
"""The families that `generator.architecture` names."""
