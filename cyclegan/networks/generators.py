"""Generators: an image of one domain in, an image of the other domain out."""

import keras

from cyclegan.config import GeneratorConfig, image_dtype
from cyclegan.networks import blocks

SIZE_MULTIPLE = 4
"""Height and width that the ResNet generator takes are multiples of this: it halves them twice."""

MIN_SIZE = 8
"""Smallest height and width: the residual blocks reflect one pixel of a quarter of the size."""


def build_generator(
    config: GeneratorConfig,
    channels_in: int = 3,
    channels_out: int = 3,
    *,
    name: str = "generator",
    dtype: str = "float32",
) -> keras.Model:
    """ResNet generator of Zhu et al. 2017, section 7.2, with the padding of its PyTorch implementation.

    Weights are drawn from Keras' global random state: call `keras.utils.set_random_seed` before for repeatable ones.

    Args:
        config: width (`filters`) and number of residual blocks.
        channels_in: channels of the images to translate.
        channels_out: channels of the translated images.
        name: name of the model.
        dtype: Keras dtype policy, such as "float32" or "mixed_bfloat16". The output is never below float32.

    Returns:
        A model from [batch, height, width, channels_in] in [-1, 1] to [batch, height, width, channels_out] in (-1, 1);
        height and width multiples of `SIZE_MULTIPLE`, at least `MIN_SIZE`.
    """
    filters = config.filters
    image = keras.Input((None, None, channels_in), name="image", dtype=image_dtype(dtype))

    x = blocks.convolution(blocks.reflect_pad(image, 3), filters, 7, name="first_conv", dtype=dtype)
    x = blocks.relu(blocks.instance_norm(x, name="first_norm", dtype=dtype))  # [batch, h, w, f]

    for level in (1, 2):
        x = blocks.convolution(
            blocks.zero_pad(x, 1), filters * 2**level, 3, stride=2, name=f"down_{level}_conv", dtype=dtype
        )
        x = blocks.relu(blocks.instance_norm(x, name=f"down_{level}_norm", dtype=dtype))
    # [batch, h/4, w/4, 4f]

    for index in range(1, config.num_blocks + 1):
        x = blocks.residual_block(x, name=f"residual_{index}", dtype=dtype)

    for level in (1, 2):
        x = blocks.upsampling_convolution(x, filters * 2 ** (2 - level), name=f"up_{level}_conv", dtype=dtype)
        x = blocks.relu(blocks.instance_norm(x, name=f"up_{level}_norm", dtype=dtype))
    # [batch, h, w, f]

    x = blocks.convolution(blocks.reflect_pad(x, 3), channels_out, 7, name="last_conv", dtype=dtype)
    x = keras.layers.Activation("tanh", name="output", dtype=image_dtype(dtype))(x)
    return keras.Model(image, x, name=name)
