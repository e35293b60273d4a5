"""Discriminators: a map of scores, each judging one patch of the image."""

import keras

from cyclegan.config import DiscriminatorConfig, image_dtype
from cyclegan.networks import blocks


def build_discriminator(
    config: DiscriminatorConfig,
    channels: int = 3,
    *,
    name: str = "discriminator",
    dtype: str = "float32",
) -> keras.Model:
    """PatchGAN of Isola et al. 2017, section 6.1.2; with three layers each score sees 70x70 pixels.

    Args:
        config: width (`filters`) and number of strided layers (`num_layers`).
        channels: channels of the images to judge.
        name: name of the model.
        dtype: Keras dtype policy. The scores are never below float32.

    Returns:
        A model from images [batch, height, width, channels] in [-1, 1] to scores [batch, h, w, 1], unbounded;
        256 x 256 pixels give 30 x 30 scores with three layers.
    """
    image = keras.Input((None, None, channels), name="image", dtype=image_dtype(dtype))
    x = blocks.convolution(blocks.zero_pad(image, 1), config.filters, 4, stride=2, name="conv_0", dtype=dtype)
    x = blocks.leaky_relu(x)

    for level in range(1, config.num_layers + 1):
        filters = config.filters * min(2**level, 8)
        stride = 2 if level < config.num_layers else 1
        x = blocks.convolution(blocks.zero_pad(x, 1), filters, 4, stride=stride, name=f"conv_{level}", dtype=dtype)
        x = blocks.leaky_relu(blocks.instance_norm(x, name=f"norm_{level}", dtype=dtype))

    x = blocks.convolution(blocks.zero_pad(x, 1), 1, 4, name="scores", dtype=dtype)
    return keras.Model(image, keras.ops.cast(x, image_dtype(dtype)), name=name)
