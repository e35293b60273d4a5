import keras
import numpy as np
import pytest

from cyclegan.config.networks import GeneratorConfig
from cyclegan.networks.generators import build_generator
from cyclegan.translation.tiling import tiled_bytes, translate_tiled

RESNET = {"filters": 4, "num_blocks": 2, "initializer": "he"}
UNET = {"filters": 4, "architecture": "unet", "num_levels": 4, "initializer": "he"}


OTHERS = [
    *({**RESNET, "normalization": name} for name in ("batch", "group", "layer", "none")),
    *({**RESNET, "downsampling": name} for name in ("max", "average", "stochastic", "blur")),
    *({**RESNET, "upsampling": name} for name in ("nearest", "bilinear", "subpixel")),
    *({**RESNET, "padding": name} for name in ("replicate", "zero")),
    {**UNET, "upsampling": "bilinear", "downsampling": "blur", "normalization": "group"},
]


def _slow(options):
    return pytest.param(options, marks=pytest.mark.slow)


def prepared(height=96, width=32, **options):
    """A generator whose output depends on all of the image, an image unlike at both ends, and the whole translation."""
    keras.utils.set_random_seed(1)
    config = GeneratorConfig(**options)
    generator = build_generator(config, 3, 3)
    for layer in generator.layers:  # statistics unlike those that a layer starts with
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(np.random.default_rng(0).normal(size=layer.moving_mean.shape))
            layer.moving_variance.assign(np.random.default_rng(1).uniform(0.5, 2, layer.moving_variance.shape))
    image = np.random.default_rng(0).uniform(-1, 1, (height, width, 3)).astype(np.float32)
    image[: height // 3] *= 0.1
    return generator, config, image, generator(image[np.newaxis], training=False).numpy()[0]


@pytest.mark.parametrize(
    "options",
    [
        RESNET,
        UNET,
        {**RESNET, "shortcut": "image"},
        {**RESNET, "shortcut": "blurred"},
        {**RESNET, "activation": "prelu", "affine": True, "output": "sigmoid"},
        *map(_slow, OTHERS),
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_strips_give_the_translation_of_the_whole_image(options):
    generator, config, image, whole = prepared(**options)
    assert whole.std() > 0.3
    np.testing.assert_allclose(translate_tiled(generator, config, image, 16), whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("tile_size", [1, 8, 40, 95, 1000])
def test_any_strip_will_do(tile_size):
    generator, config, image, whole = prepared(**RESNET)
    np.testing.assert_allclose(translate_tiled(generator, config, image, tile_size), whole, rtol=0, atol=1e-4)


def test_strips_alone_would_give_something_else():
    generator, _, image, whole = prepared(**RESNET)
    strips = [generator(image[np.newaxis, row : row + 32]).numpy()[0] for row in (0, 32, 64)]
    assert np.abs(np.concatenate(strips) - whole).max() > 0.5


def test_maps_as_high_as_the_image_are_not_kept():
    generator, config, image, _ = prepared(64, 32, **RESNET)
    # At once: the first map of half the height, 8 channels, and the one of a quarter, 16 channels. Later three of
    # those: a block's input, its first result and its second.
    half, quarter = 4 * 32 * 16 * 8, 4 * 16 * 8 * 16
    assert tiled_bytes(generator, config, image.shape) == max(half + 4 * 64 * 32 * 3, half + quarter, 3 * quarter)


def test_the_check_can_end_the_work():
    generator, config, image, _ = prepared(**RESNET)
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        translate_tiled(generator, config, image, 16, check=check)
