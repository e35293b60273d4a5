from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import cyclegan
from cyclegan.bundles.bundle import Bundle, load_bundle, save_bundle
from cyclegan.bundles.info import bundle_info
from cyclegan.config.files import load_config
from cyclegan.errors import UsageError
from cyclegan.networks.generators import build_generator
from cyclegan.translation.translator import Translator


def save(folder: Path, channels_a: int = 3, channels_b: int = 3, value_range=None) -> Bundle:
    """Untrained, with training images of 64 pixels."""
    keras.utils.set_random_seed(1)
    values = {
        "generator.filters": 4,
        "generator.num_blocks": 1,
        "generator.initializer": "he",
        "data.load_size": 64,
        "data.crop_size": 64,
        "data.channels_a": channels_a,
        "data.channels_b": channels_b,
        "data.value_range": value_range,
    }
    config = load_config(None, list(values.items()))
    generator = build_generator(config.generator, channels_a, channels_b)
    save_bundle(folder, {"ab": generator}, bundle_info(config, step=0))
    return load_bundle(folder)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    return save(tmp_path_factory.mktemp("bundle"))


def noise(*shape: int, dtype=np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def test_an_array_gives_what_the_generator_gives(bundle):
    image = noise(16, 20, 3)
    translated = cyclegan.Translator(bundle.folder, direction="ab")(image)
    expected = (bundle.generator("ab")(image[np.newaxis] / np.float32(127.5) - 1).numpy()[0] + 1) * 127.5
    assert translated.dtype == np.uint8
    np.testing.assert_allclose(translated, expected, atol=0.51)


def test_a_batch_gives_the_same_as_its_images(bundle):
    images, translate = noise(3, 13, 18, 3), Translator(bundle)
    batch = translate(images)
    assert batch.shape == images.shape
    for image, translated in zip(images, batch, strict=True):
        np.testing.assert_allclose(translate(image), translated, atol=1)


def test_a_picture_gives_a_picture_of_the_same_size_with_its_alpha(bundle):
    pixels, translate = noise(13, 18, 4), Translator(bundle)
    picture = translate(Image.fromarray(pixels))
    assert (picture.mode, picture.size) == ("RGBA", (18, 13))
    assert np.array_equal(np.asarray(picture)[:, :, 3], pixels[:, :, 3])
    assert np.array_equal(np.asarray(picture)[:, :, :3], translate(pixels[:, :, :3]))
    grey = translate(Image.fromarray(pixels[:, :, 0]))
    assert np.array_equal(np.asarray(grey), translate(np.repeat(pixels[:, :, :1], 3, axis=-1)))


def test_grey_models_give_grey_pictures(tmp_path):
    picture = Translator(save(tmp_path, 1, 1))(Image.fromarray(noise(8, 12)))
    assert (picture.mode, picture.size) == ("L", (12, 8))


def test_16_bits_are_read_and_written_in_the_value_range_of_the_bundle(tmp_path):
    bundle = save(tmp_path, 1, 1, value_range=(0.0, 4095.0))
    image = noise(8, 8, 1, dtype=np.uint16) // 16
    expected = bundle.generator("ab")(image[np.newaxis] / np.float32(2047.5) - 1).numpy()[0]
    translated = Translator(bundle)(image)
    assert translated.dtype == np.uint16
    np.testing.assert_allclose(translated, (expected + 1) * 2047.5, atol=0.55)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 3)), r"must be uint8 or uint16.*Received: float64 \[8, 8, 3\]"),
        (np.zeros((8, 8), np.uint8), r"Received: uint8 \[8, 8\]"),
        (np.zeros((0, 8, 3), np.uint8), r"Received: uint8 \[0, 8, 3\]"),
        (np.zeros((8, 8, 1), np.uint8), "must have 3 channels. Received: 1"),
    ],
)
def test_other_arrays_are_refused(bundle, image, message):
    with pytest.raises(UsageError, match=message):
        Translator(bundle)(image)


def test_scaled_images_come_back_in_their_own_size(bundle):
    """The network sees what Pillow's filter makes of the image, and its translation is enlarged in the same way."""
    ramp = np.linspace(-1, 1, 256, dtype=np.float32)
    image = np.stack([np.add.outer(ramp, ramp[:128]) / 2] * 3, axis=-1)
    translated = Translator(bundle, size=64).translate(image[np.newaxis])[0]
    small = [Image.fromarray(image[:, :, c]).resize((64, 128), Image.Resampling.BICUBIC) for c in range(3)]
    network = bundle.generator("ab")(np.stack([np.asarray(c) for c in small], -1)[np.newaxis]).numpy()[0]
    large = [Image.fromarray(network[:, :, c]).resize((128, 256), Image.Resampling.BICUBIC) for c in range(3)]
    assert translated.shape == (256, 128, 3)
    np.testing.assert_allclose(translated, np.stack([np.asarray(c) for c in large], -1).clip(-1, 1), atol=2e-3)


def test_what_exceeds_the_memory_limit_is_tiled_with_the_same_result(bundle):
    image = noise(1, 256, 64, 3) / np.float32(127.5) - 1
    whole = Translator(bundle, size="native")
    limit = whole.layouts.bytes_for(256, 64) * 0.9
    tiled = Translator(bundle, size="native", memory_limit=limit)
    assert whole.layouts.choose(256, 64).tile is None
    assert 32 <= tiled.layouts.choose(256, 64).tile < 256
    assert tiled.layouts.choose(128, 64).tile is None
    np.testing.assert_allclose(tiled.translate(image), whole.translate(image), rtol=0, atol=1e-4)


def test_a_deep_grey_picture_is_translated_like_its_array(tmp_path):
    for name, value_range in (("whole", None), ("part", (0.0, 4095.0))):
        translate = Translator(save(tmp_path / name, 1, 1, value_range))
        pixels = np.random.default_rng(0).integers(0, 4096, (64, 64), np.uint16)
        translated = translate(Image.fromarray(pixels))
        assert translated.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(translated), translate(pixels[:, :, np.newaxis])[:, :, 0])
    with pytest.raises(UsageError, match=r"takes values up to 4095\. Received: a picture of mode L"):
        translate(Image.new("L", (64, 64)))


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_pictures_that_cannot_hold_the_translation_are_refused(bundle, mode):
    with pytest.raises(UsageError, match=f"Received: mode {mode}. Pass an array"):
        Translator(bundle)(Image.new(mode, (64, 64)))


def test_a_batch_is_translated_in_as_many_parts_as_the_memory_needs(bundle):
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    whole = Translator(bundle, size="native")
    parts = Translator(bundle, size="native", memory_limit=2.5 * whole.layouts.bytes_for(64, 64))
    assert np.abs(parts(images).astype(int) - whole(images)).max() <= 1


def test_a_check_ends_a_tiled_translation(bundle):
    def check():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Translator(bundle, tile=8).translate(np.zeros((1, 32, 32, 3), np.float32), check)
