"""Exports, each loaded here by its own runtime and held against the generator of the bundle."""

import contextlib
import io
import json
import pathlib
import resource
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cyclegan.bundle import Bundle, bundle_info, load_bundle, save_bundle
from cyclegan.config.files import load_config
from cyclegan.data.decoding import decode
from cyclegan.data.encoding import encode
from cyclegan.data.scenes import draw_scene
from cyclegan.errors import CycleganError, UsageError
from cyclegan.export.export import LIMIT, export_generator
from cyclegan.export.formats import _NormByRows
from cyclegan.export.verify import _check_bytes, compare, load_images
from cyclegan.networks.generators import build_generator

SUFFIXES = {"keras": ".keras", "savedmodel": "", "litert": ".tflite", "onnx": ".onnx"}


def _save_bundle(folder: pathlib.Path, *options: tuple[str, object], scale: float = 1) -> Bundle:
    """Tiny, untrained, but far from the identity and from a constant."""
    tiny = [("data.load_size", 16), ("data.crop_size", 16), ("generator.filters", 4), ("generator.num_blocks", 1)]
    usual = [("discriminator.num_layers", 1), ("generator.initializer", "he")]
    config = load_config(None, [*tiny, *usual, *options])
    keras.utils.set_random_seed(1)
    channels = config.data.channels_a, config.data.channels_b
    generators = {
        "ab": build_generator(config.generator, *channels, name="generator_ab"),
        "ba": build_generator(config.generator, *channels[::-1], name="generator_ba"),
    }
    for generator in generators.values():
        generator.set_weights([weight * np.float32(scale) for weight in generator.get_weights()])
    save_bundle(folder, generators, bundle_info(config, step=0))
    return load_bundle(folder)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return _save_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("photos")
    for index, size in enumerate([(40, 30), (20, 50), (16, 16), (9, 9)]):
        pixels = np.random.default_rng(index).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).resize((size[1] * 2, size[0] * 2)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def out(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def _needs(*packages: str) -> None:
    """Skips where the extra of a format is not installed."""
    for package in packages:
        extra = "litert" if package == "ai_edge_litert" else "onnx"
        pytest.importorskip(package, reason=f"needs {package}: pip install 'cyclegan[{extra}]'")


def _needs_extra(format_: str) -> None:
    _needs(*{"onnx": ("onnx", "tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}.get(format_, ()))


def _images(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).uniform(-1, 1, shape).astype(np.float32)


def _run_keras(path: pathlib.Path, images: np.ndarray) -> np.ndarray:
    return keras.saving.load_model(path, compile=False)(images, training=False).numpy()


def _run_saved_model(path: pathlib.Path, images: np.ndarray) -> np.ndarray:
    model = tf.saved_model.load(path)
    return model.signatures["float32"](image=tf.constant(images))["translated"].numpy()


def _run_litert(path: pathlib.Path, images: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def _run_onnx(path: pathlib.Path, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (translated,) = session.run(["translated"], {"image": images})
    return translated


RUN = {"keras": _run_keras, "savedmodel": _run_saved_model, "litert": _run_litert, "onnx": _run_onnx}


def _read(output: pathlib.Path) -> dict:
    return json.loads(pathlib.Path(f"{output}.json").read_text())


@pytest.mark.parametrize("format_", SUFFIXES)
def test_export_of_any_size_repeats_keras(bundle, out, tmp_path, monkeypatch, format_):
    _needs_extra(format_)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    output = out / f"generator{SUFFIXES[format_]}"
    export_generator(bundle, "ba", format_, output)
    # ONNX Runtime keeps the identifier of its session there.
    assert {path.name for path in (tmp_path / "temporary").iterdir()} <= {".ses"}
    for shape in [(1, 16, 16, 3), (2, 12, 32, 3)]:
        images = _images(*shape)
        expected = bundle.generator("ba")(images).numpy()
        assert expected.std() > 0.1
        np.testing.assert_allclose(RUN[format_](output, images), expected, atol=LIMIT)

    assert sorted(path.name for path in out.iterdir()) == sorted([output.name, f"{output.name}.json"])
    found = _read(output)
    assert (found["format"], found["direction"], found["size"], found["quantize"]) == (format_, "ba", "dynamic", None)
    assert found["shapes"] == [[1, 16, 16, 3]] * 3 + [[3, 16, 24, 3]]
    assert found["images"] == "built-in scenes"
    assert found["weights_sha256"] == bundle.info.weights["ba"].sha256
    files = output.rglob("*") if output.is_dir() else [output]
    assert found["file_bytes"] == sum(path.stat().st_size for path in files if path.is_file())
    assert 0 <= found["largest_difference"] <= LIMIT
    assert found["psnr_db"] is None or found["psnr_db"] > 80
    assert found["speed_ratio"] == pytest.approx(found["keras_seconds"] / found["export_seconds"])
    runtimes = {"keras": "keras", "savedmodel": "tensorflow", "litert": "ai-edge-litert", "onnx": "onnxruntime"}
    assert found["runtime"] == runtimes[format_] and found["runtime_version"]


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["litert", "onnx", "keras"])
def test_export_of_fixed_size_takes_that_size_only(bundle, photos, out, format_):
    _needs_extra(format_)
    output = out / f"generator{SUFFIXES[format_]}"
    export_generator(bundle, "ab", format_, output, size=(12, 20), images=photos)
    images = _images(1, 12, 20, 3)
    np.testing.assert_allclose(RUN[format_](output, images), bundle.generator("ab")(images), atol=LIMIT)
    with pytest.raises(Exception, match=r"(?i)shape|dimension|reshape"):
        RUN[format_](output, _images(1, 16, 20, 3))
    found = _read(output)
    assert (found["size"], found["shapes"]) == ([12, 20], [[1, 12, 20, 3]] * 3)
    assert found["images"] == f"folder {photos.name}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, pathlib.Path]:
    """A SavedModel from grey to RGB."""
    folder = tmp_path_factory.mktemp("served")
    options = ("data.channels_a", 1), ("losses.identity_weight", 0), ("data.value_range", [0, 255])
    bundle = _save_bundle(folder / "bundle", *options)
    export_generator(bundle, "ab", "savedmodel", folder / "generator")
    return bundle, folder / "generator"


@pytest.mark.parametrize("size", [(16, 12), (37, 50), (3, 5), (2, 9), (1, 1), (1, 7)])
def test_saved_model_pads_any_image_as_numpy_does(served, size):
    bundle, path = served
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 1), np.uint8)
    padding = [(0, -(-max(side, 8) // 4) * 4 - side) for side in size]
    padded = np.pad(pixels, [(0, 0), *padding, (0, 0)], mode="reflect").astype(np.float32) / 127.5 - 1
    expected = (bundle.generator("ab")(padded).numpy()[:, : size[0], : size[1]] + 1) * 127.5
    model = tf.saved_model.load(path)
    translated = model.signatures["serving_default"](image=tf.constant(pixels))["translated"].numpy()
    assert (translated.dtype, translated.shape) == (np.uint8, (2, *size, 3))
    assert np.abs(translated - expected).max() < 0.51  # rounded to the nearest
    floats = tf.constant(pixels, tf.float32) / 127.5 - 1
    levels = (model.signatures["float32"](image=floats)["translated"].numpy() + 1) * 127.5
    np.testing.assert_allclose(levels, expected, atol=0.01)


def test_saved_model_translates_jpeg_and_png_of_different_sizes(served):
    _, path = served
    images = [np.random.default_rng(0).integers(0, 256, size, np.uint8) for size in [(16, 20), (9, 5)]]
    files, decoded = [], []
    for image, kind in zip(images, ["JPEG", "PNG"], strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, kind)
        files.append(buffer.getvalue())
        decoded.append(np.asarray(Image.open(buffer)))
    model = tf.saved_model.load(path)
    translated = model.signatures["encoded"](image_bytes=tf.constant(files))["image_bytes"].numpy()
    for file, pixels in zip(translated, decoded, strict=True):
        expected = model.signatures["serving_default"](image=tf.constant(pixels[np.newaxis, :, :, np.newaxis]))
        with Image.open(io.BytesIO(file)) as image:
            assert image.format == "PNG"
            np.testing.assert_array_equal(np.asarray(image), expected["translated"].numpy()[0])


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["onnx", "litert", "savedmodel"])
def test_unet_is_exported(tmp_path, format_):
    _needs_extra(format_)
    unet = ("generator.architecture", "unet"), ("generator.num_levels", 3)
    bundle = _save_bundle(tmp_path / "bundle", *unet)
    output = tmp_path / f"generator{SUFFIXES[format_]}"
    export_generator(bundle, "ab", format_, output)
    images = _images(1, 24, 8, 3)
    np.testing.assert_allclose(RUN[format_](output, images), bundle.generator("ab")(images), atol=LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize("normalization", ["group", "layer"])
@pytest.mark.parametrize("format_", ["onnx", "litert"])
def test_trained_scale_and_offset_of_norms_are_exported(tmp_path, format_, normalization):
    _needs_extra(format_)
    options = ("generator.normalization", normalization), ("generator.filters", 8), ("generator.affine", True)
    bundle = _save_bundle(tmp_path / "bundle", *options)
    generator = bundle.generator("ab")
    random = np.random.default_rng(0)
    generator.set_weights([weight + random.normal(0, 0.1, weight.shape) for weight in generator.get_weights()])
    save_bundle(tmp_path / "bundle", {"ab": generator}, bundle.info)
    output = tmp_path / f"g{SUFFIXES[format_]}"
    export_generator(load_bundle(tmp_path / "bundle"), "ab", format_, output)
    images = _images(1, 16, 24, 3)
    np.testing.assert_allclose(RUN[format_](output, images), generator(images), atol=LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize("downsampling", ["blur", "stochastic"])
def test_keras_file_with_our_layers_is_exported(tmp_path, downsampling):
    bundle = _save_bundle(tmp_path / "bundle", ("generator.downsampling", downsampling))
    export_generator(bundle, "ab", "keras", tmp_path / "g.keras")
    images = _images(1, 16, 20, 3)
    np.testing.assert_allclose(_run_keras(tmp_path / "g.keras", images), bundle.generator("ab")(images), atol=LIMIT)


def test_size_is_fixed_where_the_format_cannot_leave_it_open(tmp_path):
    _needs_extra("litert")
    bundle = _save_bundle(tmp_path / "bundle", ("generator.upsampling", "nearest"))
    with pytest.raises(UsageError, match="`--size` must be a size in pixels .*nearest. Received: dynamic"):
        export_generator(bundle, "ab", "litert", tmp_path / "g.tflite", size="dynamic")
    export_generator(bundle, "ab", "litert", tmp_path / "g.tflite")
    assert _read(tmp_path / "g.tflite")["size"] == [16, 16]


@pytest.mark.slow
def test_quantized_exports_are_smaller_and_say_how_much_they_differ(tmp_path, photos):
    _needs_extra("litert")
    bundle = _save_bundle(tmp_path / "bundle", ("generator.filters", 16), ("generator.normalization", "none"))
    sizes = {}
    for quantize in (None, "float16", "int8"):
        output = tmp_path / f"{quantize}.tflite"
        calibration = photos if quantize == "int8" else None
        export_generator(bundle, "ab", "litert", output, quantize=quantize, calibration=calibration, images=photos)
        found = _read(output)
        assert found["quantize"] == quantize
        sizes[quantize] = found["file_bytes"]
        images = _images(1, 16, 24, 3)
        translated = _run_litert(output, images)
        assert translated.dtype == np.float32
        mean = np.abs(translated - bundle.generator("ab")(images).numpy()).mean()
        assert mean < {None: 1e-5, "float16": 0.005, "int8": 0.1}[quantize]
        if quantize:
            assert 1e-4 < found["largest_difference"] < 1
            assert found["psnr_db"] > {"float16": 50, "int8": 20}[quantize]
    assert sizes["int8"] < sizes["float16"] < sizes[None]


def test_without_a_folder_the_scenes_are_of_the_domain_that_is_translated(bundle):
    for direction, domain in (("ab", "plain"), ("ba", "striped")):
        (image,), source = load_images(None, 1, bundle.info, direction)
        drawn = getattr(draw_scene(0, 0), domain)
        np.testing.assert_allclose(image, drawn / 127.5 - 1, atol=1e-6)
        assert source == "built-in scenes"


def test_images_of_a_folder_are_held_at_the_size_that_is_wanted(bundle, photos):
    images, _ = load_images(photos, 4, bundle.info, "ab", (12, 20))
    assert [(image.shape, image.base) for image in images] == [((12, 20, 3), None)] * 4


def test_means_by_rows_are_nearer_to_float64():
    images = np.random.default_rng(0).normal(100, 1, (1, 128, 128, 4)).astype(np.float32)
    exact = images.astype(np.float64)
    exact = (exact - exact.mean((1, 2))) / np.sqrt(exact.var((1, 2)) + 1e-5)
    errors = [
        np.abs(kind(groups=4, epsilon=1e-5)(images).numpy() - exact).max()
        for kind in (_NormByRows, keras.layers.GroupNormalization)
    ]
    assert errors[0] < min(errors[1], 1e-4)


@pytest.mark.slow  # TensorFlow waits 10 s for memory
def test_a_size_beyond_the_memory_is_one_line_and_leaves_nothing(bundle, photos, out):
    with pytest.raises(CycleganError, match=r"more memory than there is\. Give a smaller `--size`\.$") as error:
        export_generator(bundle, "ab", "keras", out / "g.keras", size=(2**22, 2**22), images=photos)
    assert "\n" not in str(error.value)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(("signature", "error"), [("serving_default", 2), ("encoded", 2), ("serving_default", 0)])
def test_a_saved_model_that_is_wrong_by_two_levels_is_not_kept(bundle, signature, error):
    generator = bundle.generator("ab")

    def reference(inputs):
        return generator(inputs).numpy()

    def run(name, inputs):
        pixels = inputs if name == "serving_default" else np.stack([decode(file, 3) for file in inputs]) * 127.5 + 127.5
        levels = np.rint((reference(pixels.astype(np.float32) / 127.5 - 1) + 1) * 127.5)
        levels += error * np.where(levels < 128, 1, -1) * (name == signature)
        return (levels if name == "serving_default" else [encode(level / 127.5 - 1) for level in levels]), 0.0

    image = draw_scene(0, 0).plain.astype(np.float32) / 127.5 - 1
    expected = pytest.raises(CycleganError, match="8-bit images differ") if error else contextlib.nullcontext()
    with expected:
        _check_bytes(run, reference, image, bundle.info)


@pytest.mark.slow
def test_drawn_scenes_are_of_the_domain_and_channels_that_the_generator_takes(tmp_path):
    _needs_extra("onnx")
    options = ("data.channels_a", 4), ("data.channels_b", 1), ("losses.identity_weight", 0)
    bundle = _save_bundle(tmp_path / "bundle", *options)
    for direction, channels in (("ab", 4), ("ba", 1)):
        export_generator(bundle, direction, "onnx", tmp_path / f"{direction}.onnx")
        assert {shape[-1] for shape in _read(tmp_path / f"{direction}.onnx")["shapes"]} == {channels}


@pytest.mark.parametrize(
    ("format_", "name", "options", "message"),
    [
        ("keras", "g.h5", {}, r"`--output` must end in \.keras for --format keras\. Received: .*g\.h5"),
        ("onnx", "g.pb", {}, r"must end in \.onnx"),
        ("keras", "g.keras", {"size": (16, 18)}, "`--size` must be a multiple of 4 and at least 8.*Received: 16x18"),
        ("keras", "g.keras", {"size": (4, 8)}, "Received: 4x8"),
        ("keras", "g.keras", {"quantize": "float16"}, "`--quantize` is for --format litert. Received: --format keras"),
        ("litert", "g.tflite", {"quantize": "int8"}, "belong together.*Received: --quantize int8, --calibration not"),
        ("litert", "g.tflite", {"calibration": pathlib.Path("x")}, "--quantize not given, --calibration x"),
        ("keras", "g.keras", {"images": pathlib.Path("nowhere")}, "nowhere: no such folder"),
    ],
)
def test_contradictory_request_is_refused(bundle, out, format_, name, options, message):
    _needs_extra(format_)
    with pytest.raises(UsageError, match=message):
        export_generator(bundle, "ab", format_, out / name, **options)
    assert list(out.iterdir()) == []


def test_folder_without_images_is_refused(bundle, out, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty holds no images. Looked for"):
        export_generator(bundle, "ab", "keras", out / "g.keras", images=tmp_path / "empty")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("taken", ["generator", "generator.json"])
def test_nothing_is_overwritten(bundle, out, taken):
    (out / taken).write_text("mine")
    with pytest.raises(UsageError, match=rf"must not exist yet\. Received: .*{taken}\."):
        export_generator(bundle, "ab", "savedmodel", out / "generator")
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [(taken, "mine")]


@pytest.mark.parametrize("place", [".", ".."])
def test_folder_that_is_there_is_refused_whatever_its_name(bundle, place):
    with pytest.raises(UsageError, match="must not exist yet"):
        export_generator(bundle, "ab", "savedmodel", pathlib.Path(place))


def test_saved_model_of_another_value_range_is_refused(tmp_path, out):
    bundle = _save_bundle(tmp_path / "bundle", ("data.value_range", [0, 4095]))
    with pytest.raises(UsageError, match=r"8-bit images.*null or \[0, 255\]\. Received: \[0\.0, 4095\.0\]"):
        export_generator(bundle, "ab", "savedmodel", out / "generator")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(("format_", "package"), [("onnx", "onnxruntime"), ("litert", "ai_edge_litert")])
def test_missing_extra_is_named(bundle, out, monkeypatch, format_, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"{package} is needed .*pip install 'cyclegan\[{format_}\]'"):
        export_generator(bundle, "ab", format_, out / f"g{SUFFIXES[format_]}")
    assert list(out.iterdir()) == []


def test_export_that_differs_is_not_kept(tmp_path, out):
    """Sums of large numbers, which no two runtimes add up alike, decide about what falls between -1 and 1."""
    _needs_extra("onnx")
    options = ("generator.normalization", "none"), ("data.load_size", 64), ("data.crop_size", 64)
    bundle = _save_bundle(tmp_path / "bundle", *options, scale=4)
    with pytest.raises(CycleganError, match=r"onnxruntime .* differs from Keras by [\d.e-]+ .*Allowed: 0\.0001\."):
        export_generator(bundle, "ab", "onnx", out / "g.onnx")
    assert list(out.iterdir()) == []


def test_generator_of_nan_is_not_kept(tmp_path, out):
    _needs_extra("litert")
    bundle = _save_bundle(tmp_path / "bundle", scale=1e38)
    with pytest.raises(CycleganError, match="differs from Keras by nan"):
        export_generator(bundle, "ab", "litert", out / "g.tflite", quantize="float16")
    assert list(out.iterdir()) == []


def test_what_a_converter_cannot_do_is_one_line(tmp_path, out):
    """ONNX has no erfc, which the exact GELU is made of."""
    _needs_extra("onnx")
    bundle = _save_bundle(tmp_path / "bundle", ("generator.activation", "gelu"))
    with pytest.raises(CycleganError, match="Erfc") as error:
        export_generator(bundle, "ab", "onnx", out / "g.onnx")
    assert "\n" not in str(error.value)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("format_", ["onnx", "litert"])
def test_export_that_its_runtime_refuses_is_one_line(bundle, tmp_path, format_):
    _needs_extra(format_)
    path = tmp_path / f"g{SUFFIXES[format_]}"
    path.write_bytes(b"neither one nor the other")
    images = [_images(16, 16, 3)]
    with pytest.raises(CycleganError, match=f"export to {format_} is not kept: its runtime says: .") as error:
        compare(path, format_, bundle.generator("ab"), bundle.info, images, None, LIMIT)
    assert "\n" not in str(error.value)


def test_output_that_cannot_be_written_leaves_nothing(bundle, out):
    _needs_extra("onnx")
    with pytest.raises(CycleganError, match="missing/g.onnx cannot be written: No such file"):
        export_generator(bundle, "ab", "onnx", out / "missing" / "g.onnx")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(CycleganError) as error:
            export_generator(bundle, "ab", "onnx", out / "g.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert list(out.iterdir()) == []
