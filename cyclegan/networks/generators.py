"""Generators: networks that translate an image into the other domain."""

from collections.abc import Callable
from typing import NamedTuple

import keras

from cyclegan.config.networks import GeneratorConfig
from cyclegan.config.sections import image_dtype
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

    The weights are drawn from the global random state of Keras. Call `keras.utils.set_random_seed` first to get the
    same weights again.

    Args:
        config: the architecture and its parts.
        channels_in: number of channels of the images to translate.
        channels_out: number of channels of the translated images.
        name: name of the model.
        dtype: Keras dtype policy, such as "float32" or "mixed_bfloat16". The output has at least float32.
        image_size: height and width of all images, or None where they may vary.
        given_statistics: whether normalizations take mean and variance from their weights, not from the image.

    Returns:
        A model from [batch, height, width, channels_in] in [-1, 1] to [batch, height, width, channels_out] in (-1, 1).
        Height and width must be multiples of `config.size_multiple` and at least `config.min_size`.
    """
    style = blocks.style_of(config, dtype, padding=config.padding, given_statistics=given_statistics)
    image = keras.Input((*image_size, channels_in), name="image", dtype=image_dtype(dtype))
    # A network that ends with a sigmoid sees and makes values in [0, 1]; the model around it keeps [-1, 1].
    x = (image + 1) / 2 if config.output == "sigmoid" else image
    x = ARCHITECTURES[config.architecture].network(x, config, channels_out, style)
    if config.start == "copy":
        x = keras.ops.cast(x, image_dtype(dtype)) + _before_tanh(image)
    x = keras.layers.Activation(config.output, name="output", dtype=image_dtype(dtype))(x)
    model = keras.Model(image, 2 * x - 1 if config.output == "sigmoid" else x, name=name)
    if config.start == "copy":
        last = [layer for layer in model.layers if hasattr(layer, "kernel")][-1]
        last.kernel.assign(keras.ops.zeros_like(last.kernel))
    return model


def _before_tanh(image: keras.KerasTensor) -> keras.KerasTensor:
    """What tanh turns into nearly the image.

    It is written with logarithms because the runtimes of exported networks do not all have the inverse of tanh.
    """
    faded = COPIED * keras.ops.clip(image, -1.0, 1.0)
    return (keras.ops.log(1 + faded) - keras.ops.log(1 - faded)) / 2


COPIED = 0.97
"""The contrast of a copy: at the ends of its range tanh would pass no gradient."""


class Architecture(NamedTuple):
    """One family of generators, which has a module of its own."""

    network: Callable[[keras.KerasTensor, GeneratorConfig, int, Style], keras.KerasTensor]
    """Maps (image, config, channels out, style) to the input of the last activation."""
    min_layers: Callable[[GeneratorConfig], int]
    """Lower bound of the number of convolutions, known without building the network."""


ARCHITECTURES = {
    "resnet": Architecture(resnet.network, resnet.min_layers),
    "unet": Architecture(unet.network, unet.min_layers),
}
"""The values of `generator.architecture`."""
