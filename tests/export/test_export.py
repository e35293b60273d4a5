"""Exports, each of which its own runtime loads here, and which are compared with the generator of the bundle."""

import json
import os
import pathlib
import resource
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from cyclegan.bundles.bundle import load_bundle, save_bundle
from cyclegan.errors import CycleganError, UsageError
from cyclegan.export.export import LIMIT, export_generator
from cyclegan.export.formats import FORMATS


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
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (translated,) = session.run(["translated"], {"image": images})
    return translated


RUN = {"keras": _run_keras, "savedmodel": _run_saved_model, "litert": _run_litert, "onnx": _run_onnx}


def _read(output: pathlib.Path) -> dict:
    return json.loads(pathlib.Path(f"{output}.json").read_text())


@pytest.fixture(scope="module", params=RUN)
def exported(needs_extra, bundle, tmp_path_factory, request) -> tuple[str, pathlib.Path]:
    """A format, and the export of a generator of any size in a folder that nothing else writes to."""
    needs_extra(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "temporary").mkdir()
    (folder / "out").mkdir()
    output = folder / "out" / f"generator{FORMATS[request.param].suffix}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder / "temporary"))
        export_generator(bundle, "ba", request.param, output)
    return request.param, output


@pytest.mark.parametrize("shape", [(1, 16, 16, 3), (2, 12, 32, 3)])
def test_export_of_any_size_repeats_keras(bundle, random_images, exported, shape):
    format_, output = exported
    images = random_images(*shape)
    expected = bundle.generator("ba")(images).numpy()
    assert expected.std() > 0.1
    np.testing.assert_allclose(RUN[format_](output, images), expected, atol=LIMIT)


def test_nothing_but_the_export_and_its_record_is_left(exported):
    _, output = exported
    assert sorted(path.name for path in output.parent.iterdir()) == sorted([output.name, f"{output.name}.json"])
    assert list((output.parents[1] / "temporary").iterdir()) == []


def test_record_says_what_was_exported(bundle, exported):
    format_, output = exported
    found = _read(output)
    assert (found["format"], found["direction"], found["size"], found["quantize"]) == (format_, "ba", "dynamic", None)
    assert found["weights_sha256"] == bundle.info.weights["ba"].sha256
    files = output.rglob("*") if output.is_dir() else [output]
    assert found["file_bytes"] == sum(path.stat().st_size for path in files if path.is_file())


def test_record_says_what_the_comparison_found(exported):
    format_, output = exported
    found = _read(output)
    assert found["shapes"] == [[1, 16, 16, 3]] * 3 + [[3, 16, 24, 3]]
    assert found["images"] == "built-in scenes"
    assert 0 <= found["largest_difference"] <= LIMIT
    assert found["psnr_db"] is None or found["psnr_db"] > 80
    assert found["speed_ratio"] == pytest.approx(found["keras_seconds"] / found["export_seconds"])
    runtimes = {"keras": "keras", "savedmodel": "tensorflow", "litert": "ai-edge-litert", "onnx": "onnxruntime"}
    assert found["runtime"] == runtimes[format_] and found["runtime_version"]


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["litert", "onnx", "keras"])
def test_export_of_fixed_size_takes_that_size_only(random_images, needs_extra, bundle, photos, out, format_):
    needs_extra(format_)
    output = out / f"generator{FORMATS[format_].suffix}"
    export_generator(bundle, "ab", format_, output, size=(12, 20), images=photos)
    images = random_images(1, 12, 20, 3)
    np.testing.assert_allclose(RUN[format_](output, images), bundle.generator("ab")(images), atol=LIMIT)
    with pytest.raises(Exception, match=r"(?i)shape|dimension|reshape"):
        RUN[format_](output, random_images(1, 16, 20, 3))
    found = _read(output)
    assert (found["size"], found["shapes"]) == ([12, 20], [[1, 12, 20, 3]] * 3)
    assert found["images"] == f"folder {photos.name}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        [("generator.architecture", "unet"), ("generator.num_levels", 3)],
        [("generator.shortcut", "image")],
        [("generator.shortcut", "blurred")],
    ],
    ids=["unet", "image", "blurred"],
)
@pytest.mark.parametrize("format_", ["onnx", "litert", "savedmodel"])
def test_other_generators_are_exported(make_bundle, random_images, needs_extra, tmp_path, options, format_):
    needs_extra(format_)
    bundle = make_bundle(tmp_path / "bundle", *options)
    output = tmp_path / f"generator{FORMATS[format_].suffix}"
    export_generator(bundle, "ab", format_, output)
    images = random_images(1, 24, 8, 3)
    np.testing.assert_allclose(RUN[format_](output, images), bundle.generator("ab")(images), atol=LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize("normalization", ["group", "layer"])
@pytest.mark.parametrize("format_", ["onnx", "litert"])
def test_trained_scale_and_offset_of_norms_are_exported(
    make_bundle, random_images, needs_extra, tmp_path, format_, normalization
):
    needs_extra(format_)
    options = ("generator.normalization", normalization), ("generator.filters", 8), ("generator.affine", True)
    bundle = make_bundle(tmp_path / "bundle", *options)
    generator = bundle.generator("ab")
    random = np.random.default_rng(0)
    generator.set_weights([weight + random.normal(0, 0.1, weight.shape) for weight in generator.get_weights()])
    save_bundle(tmp_path / "bundle", {"ab": generator}, bundle.info)
    output = tmp_path / f"g{FORMATS[format_].suffix}"
    export_generator(load_bundle(tmp_path / "bundle"), "ab", format_, output)
    images = random_images(1, 16, 24, 3)
    np.testing.assert_allclose(RUN[format_](output, images), generator(images), atol=LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize("downsampling", ["blur", "stochastic"])
def test_keras_file_with_our_layers_is_exported(make_bundle, random_images, tmp_path, downsampling):
    bundle = make_bundle(tmp_path / "bundle", ("generator.downsampling", downsampling))
    export_generator(bundle, "ab", "keras", tmp_path / "g.keras")
    images = random_images(1, 16, 20, 3)
    np.testing.assert_allclose(_run_keras(tmp_path / "g.keras", images), bundle.generator("ab")(images), atol=LIMIT)


def test_size_is_fixed_where_the_format_cannot_leave_it_open(make_bundle, needs_extra, tmp_path):
    needs_extra("litert")
    bundle = make_bundle(tmp_path / "bundle", ("generator.upsampling", "nearest"))
    with pytest.raises(UsageError, match="`--size` must be a size in pixels .*nearest. Received: dynamic"):
        export_generator(bundle, "ab", "litert", tmp_path / "g.tflite", size="dynamic")
    export_generator(bundle, "ab", "litert", tmp_path / "g.tflite")
    assert _read(tmp_path / "g.tflite")["size"] == [16, 16]


@pytest.mark.slow
def test_quantized_exports_are_smaller_and_say_how_much_they_differ(
    make_bundle, random_images, needs_extra, tmp_path, photos
):
    needs_extra("litert")
    bundle = make_bundle(tmp_path / "bundle", ("generator.filters", 16), ("generator.normalization", "none"))
    sizes = {}
    for quantize in (None, "float16", "int8"):
        output = tmp_path / f"{quantize}.tflite"
        calibration = photos if quantize == "int8" else None
        export_generator(bundle, "ab", "litert", output, quantize=quantize, calibration=calibration, images=photos)
        found = _read(output)
        assert found["quantize"] == quantize
        sizes[quantize] = found["file_bytes"]
        images = random_images(1, 16, 24, 3)
        translated = _run_litert(output, images)
        assert translated.dtype == np.float32
        mean = np.abs(translated - bundle.generator("ab")(images).numpy()).mean()
        assert mean < {None: 1e-5, "float16": 0.005, "int8": 0.1}[quantize]
        if quantize:
            assert 1e-4 < found["largest_difference"] < 1
            assert found["psnr_db"] > {"float16": 50, "int8": 20}[quantize]
    assert sizes["int8"] < sizes["float16"] < sizes[None]


@pytest.mark.slow  # TensorFlow waits 10 s for memory
def test_a_size_beyond_the_memory_is_one_line_and_leaves_nothing(bundle, photos, out):
    with pytest.raises(CycleganError, match=r"more memory than is available\. Give a smaller `--size`\.$") as error:
        export_generator(bundle, "ab", "keras", out / "g.keras", size=(2**22, 2**22), images=photos)
    assert "\n" not in str(error.value)
    assert list(out.iterdir()) == []


@pytest.mark.slow
def test_drawn_scenes_are_of_the_domain_and_channels_that_the_generator_takes(make_bundle, needs_extra, tmp_path):
    needs_extra("onnx")
    options = ("data.channels_a", 4), ("data.channels_b", 1), ("losses.identity_weight", 0)
    bundle = make_bundle(tmp_path / "bundle", *options)
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
        (
            "keras",
            "g.keras",
            {"quantize": "float16"},
            "`--quantize float16` is for --format litert. Received: --format keras",
        ),
        ("litert", "g.tflite", {"quantize": "int8"}, "given together.*Received: --quantize int8, --calibration not"),
        ("litert", "g.tflite", {"calibration": pathlib.Path("x")}, "--quantize not given, --calibration x"),
        ("keras", "g.keras", {"images": pathlib.Path("nowhere")}, "nowhere: no such folder"),
    ],
)
def test_contradictory_request_is_refused(needs_extra, bundle, out, format_, name, options, message):
    needs_extra(format_)
    with pytest.raises(UsageError, match=message):
        export_generator(bundle, "ab", format_, out / name, **options)
    assert list(out.iterdir()) == []


def test_folder_without_images_is_refused(bundle, out, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty does not hold any images. Looked for"):
        export_generator(bundle, "ab", "keras", out / "g.keras", images=tmp_path / "empty")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("taken", ["generator", "generator.json"])
def test_nothing_is_overwritten(bundle, out, taken):
    (out / taken).write_text("mine")
    with pytest.raises(UsageError, match=rf"must not exist yet\. Received: .*{taken}\."):
        export_generator(bundle, "ab", "savedmodel", out / "generator")
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [(taken, "mine")]


@pytest.mark.parametrize("place", [".", ".."])
def test_existing_folder_is_refused_also_as_a_relative_path(bundle, place):
    with pytest.raises(UsageError, match="must not exist yet"):
        export_generator(bundle, "ab", "savedmodel", pathlib.Path(place))


@pytest.mark.parametrize(
    ("format_", "package"), [("onnx", "onnxruntime"), ("litert", "ai_edge_litert"), ("pytorch", "torch")]
)
def test_missing_extra_is_named(bundle, out, monkeypatch, format_, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"needs (\w+, )*{package}, .*pip install 'cyclegan\[{format_}\]'"):
        export_generator(bundle, "ab", format_, out / f"g{FORMATS[format_].suffix}")
    assert list(out.iterdir()) == []


def test_export_that_differs_is_not_kept(make_bundle, needs_extra, tmp_path, out):
    """The outputs depend on sums of large numbers, which every runtime rounds in its own way."""
    needs_extra("onnx")
    options = ("generator.normalization", "none"), ("data.load_size", 64), ("data.crop_size", 64)
    bundle = make_bundle(tmp_path / "bundle", *options, scale=4)
    with pytest.raises(CycleganError, match=r"onnxruntime .* differs from Keras by [\d.e-]+ .*Allowed: 0\.0001\."):
        export_generator(bundle, "ab", "onnx", out / "g.onnx")
    assert list(out.iterdir()) == []


def test_generator_of_nan_is_not_kept(make_bundle, needs_extra, tmp_path, out):
    needs_extra("litert")
    bundle = make_bundle(tmp_path / "bundle", scale=1e38)
    with pytest.raises(CycleganError, match="it or Keras computes values that are not finite"):
        export_generator(bundle, "ab", "litert", out / "g.tflite", quantize="float16")
    assert list(out.iterdir()) == []


def test_what_a_converter_cannot_do_is_one_line(make_bundle, needs_extra, tmp_path, out):
    """The exact GELU needs erfc, which ONNX does not have."""
    needs_extra("onnx")
    bundle = make_bundle(tmp_path / "bundle", ("generator.activation", "gelu"))
    with pytest.raises(CycleganError, match="Erfc") as error:
        export_generator(bundle, "ab", "onnx", out / "g.onnx")
    assert "\n" not in str(error.value)
    assert list(out.iterdir()) == []


def test_interruption_between_the_record_and_the_export_leaves_neither(bundle, out, monkeypatch):
    rename = pathlib.Path.rename

    def interrupt(self, target):
        monkeypatch.undo()
        rename(self, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(pathlib.Path, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_generator(bundle, "ab", "keras", out / "g.keras")
    assert list(out.iterdir()) == []


def test_output_that_cannot_be_written_leaves_nothing(needs_extra, bundle, out):
    needs_extra("onnx")
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
