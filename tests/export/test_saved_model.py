"""The signatures of a SavedModel, compared with the generator of the bundle."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cyclegan.bundles.bundle import Bundle
from cyclegan.data.decoding import decode
from cyclegan.data.encoding import encode
from cyclegan.data.scenes import draw_scene
from cyclegan.errors import CycleganError, UsageError
from cyclegan.export.export import LIMIT, export_generator
from cyclegan.export.saved_model import check_run


@pytest.fixture(scope="module")
def served(make_bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Any]:
    """A bundle from grey to RGB, and the loaded SavedModel of its generator."""
    folder = tmp_path_factory.mktemp("served")
    options = ("data.channels_a", 1), ("losses.identity_weight", 0), ("data.value_range", [0, 255])
    bundle = make_bundle(folder / "bundle", *options)
    export_generator(bundle, "ab", "savedmodel", folder / "generator")
    return bundle, tf.saved_model.load(folder / "generator")


SIZES = [(16, 12), (37, 50), (3, 5), (2, 9), (1, 1), (1, 7)]


def _pixels_and_expected(bundle: Bundle, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Two grey images, and what Keras makes of them after NumPy has padded them, as levels that are not rounded."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 1), np.uint8)
    padding = [(0, -(-max(side, 8) // 4) * 4 - side) for side in size]
    padded = np.pad(pixels, [(0, 0), *padding, (0, 0)], mode="reflect").astype(np.float32) / 127.5 - 1
    return pixels, (bundle.generator("ab")(padded).numpy()[:, : size[0], : size[1]] + 1) * 127.5


@pytest.mark.parametrize("size", SIZES)
def test_saved_model_pads_8_bit_images_as_numpy_does(served, size):
    bundle, model = served
    pixels, expected = _pixels_and_expected(bundle, size)
    translated = model.signatures["serving_default"](image=tf.constant(pixels))["translated"].numpy()
    assert (translated.dtype, translated.shape) == (np.uint8, (2, *size, 3))
    assert np.abs(translated - expected).max() < 0.51  # rounded to the nearest


@pytest.mark.parametrize("size", SIZES)
def test_saved_model_pads_float32_images_as_numpy_does(served, size):
    bundle, model = served
    pixels, expected = _pixels_and_expected(bundle, size)
    floats = tf.constant(pixels, tf.float32) / 127.5 - 1
    levels = (model.signatures["float32"](image=floats)["translated"].numpy() + 1) * 127.5
    np.testing.assert_allclose(levels, expected, atol=0.01)


def test_saved_model_translates_jpeg_and_png_of_different_sizes(served):
    _, model = served
    images = [np.random.default_rng(0).integers(0, 256, size, np.uint8) for size in [(16, 20), (9, 5)]]
    files, decoded = [], []
    for image, kind in zip(images, ["JPEG", "PNG"], strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, kind)
        files.append(buffer.getvalue())
        decoded.append(np.asarray(Image.open(buffer)))
    translated = model.signatures["encoded"](image_bytes=tf.constant(files))["image_bytes"].numpy()
    for file, pixels in zip(translated, decoded, strict=True):
        expected = model.signatures["serving_default"](image=tf.constant(pixels[np.newaxis, :, :, np.newaxis]))
        with Image.open(io.BytesIO(file)) as image:
            assert image.format == "PNG"
            np.testing.assert_array_equal(np.asarray(image), expected["translated"].numpy()[0])


@pytest.mark.parametrize(("signature", "error"), [("serving_default", 2), ("encoded", 2), ("serving_default", 0)])
def test_a_saved_model_that_is_wrong_by_two_levels_is_not_kept(bundle, signature, error):
    generator = bundle.generator("ab")

    def reference(inputs):
        return generator(inputs).numpy()

    def run(name, inputs):
        pixels = inputs if name == "serving_default" else np.stack([decode(file, 3) for file in inputs]) * 127.5 + 127.5
        levels = np.rint((reference(pixels.astype(np.float32) / 127.5 - 1) + 1) * 127.5)
        levels += error * np.where(levels < 128, 1, -1) * (name == signature)
        return levels if name == "serving_default" else [encode(level / 127.5 - 1) for level in levels]

    image = draw_scene(0, 0).plain.astype(np.float32) / 127.5 - 1
    expected = pytest.raises(CycleganError, match="8-bit images differ") if error else contextlib.nullcontext()
    with expected:
        check_run(run, reference, image, bundle.info, LIMIT)


def test_saved_model_of_another_value_range_is_refused(make_bundle, tmp_path, out):
    bundle = make_bundle(tmp_path / "bundle", ("data.value_range", [0, 4095]))
    with pytest.raises(UsageError, match=r"8-bit images.*null or \[0, 255\]\. Received: \[0\.0, 4095\.0\]"):
        export_generator(bundle, "ab", "savedmodel", out / "generator")
    assert list(out.iterdir()) == []
