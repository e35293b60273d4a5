import keras
import numpy as np
import pytest
import tensorflow as tf

from cyclegan.errors import CycleganError, UsageError
from cyclegan.evaluation.features import load_network

RNG = np.random.default_rng(0)
IMAGES = np.float32(RNG.uniform(-1, 1, (3, 20, 30, 3)))


def small_network():
    """Its features are the mean colours, tripled."""
    image = keras.Input((20, 30, 3))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(3 * image))


def test_a_keras_file_gives_the_output_of_its_network(tmp_path):
    small_network().save(tmp_path / "colours.keras")
    extractor = load_network(str(tmp_path / "colours.keras"))
    np.testing.assert_allclose(extractor.compute(IMAGES).values, 3 * IMAGES.mean(axis=(1, 2)), rtol=1e-5)
    assert extractor.name == "colours" and len(extractor.digest) == 64
    assert extractor.compute(IMAGES).classes is None


def test_images_are_resized_to_what_the_network_takes(tmp_path):
    small_network().save(tmp_path / "colours.keras")
    extractor = load_network(str(tmp_path / "colours.keras"))
    larger = np.repeat(np.repeat(IMAGES, 2, axis=1), 2, axis=2)
    np.testing.assert_allclose(extractor.compute(larger).values, 3 * IMAGES.mean(axis=(1, 2)), atol=0.02)


def test_a_saved_model_gives_the_output_of_its_network(tmp_path):
    small_network().export(tmp_path / "colours", verbose=False)
    extractor = load_network(str(tmp_path / "colours"))
    np.testing.assert_allclose(extractor.compute(IMAGES).values, 3 * IMAGES.mean(axis=(1, 2)), rtol=1e-5)
    assert extractor.digest == load_network(str(tmp_path / "colours")).digest


def test_maps_of_features_become_their_mean(tmp_path):
    image = keras.Input((None, None, 3))
    keras.Model(image, 2 * image).save(tmp_path / "maps.keras")
    values = load_network(str(tmp_path / "maps.keras")).compute(IMAGES).values
    np.testing.assert_allclose(values, 2 * IMAGES.mean(axis=(1, 2)), rtol=1e-5)


@pytest.fixture
def litert_file(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs the extra `litert`")

    class Network(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 20, 30, 3])])
        def __call__(self, images):
            pooled = tf.nn.avg_pool2d(images, (20, 30), 1, "VALID", name="pool")  # [1, 1, 1, 3]
            return tf.nn.softmax(tf.reshape(100 * tf.tanh(pooled), [1, 3]))

    network = Network()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.__call__.get_concrete_function()], network)
    path = tmp_path / "colours.tflite"
    path.write_bytes(converter.convert())
    return path


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_litert_file_gives_its_pooled_tensor_and_its_class(litert_file):
    features = load_network(str(litert_file)).compute(IMAGES)
    np.testing.assert_allclose(features.values, IMAGES.mean(axis=(1, 2)), atol=1e-6)
    np.testing.assert_array_equal(features.classes, IMAGES.mean(axis=(1, 2)).argmax(axis=1))


def test_the_quantised_network_tells_zebras_from_horses(shared):
    pytest.importorskip("ai_edge_litert", reason="needs the extra `litert`")
    from PIL import Image

    extractor = load_network(str(shared / "weights" / "mobilenet_v2_1.0_224_quant.tflite"))
    assert extractor.digest.startswith("7aad0c74")
    zebra = extractor.labels.index("zebra")
    assert extractor.label(zebra) == "zebra" and extractor.label(5000) == "class 5000"
    for split, least, most in (("testA", 0, 0), ("testB", 8, 10)):
        paths = sorted((shared / "data" / "horse2zebra_256" / split).iterdir())[:10]
        images = np.stack([np.asarray(Image.open(path).convert("RGB"), np.float32) / 127.5 - 1 for path in paths])
        features = extractor.compute(images)
        assert features.values.shape == (10, 1280)
        assert least <= int((features.classes == zebra).sum()) <= most


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("nothing.tflite", "nothing.tflite cannot be read: No such file"),
        ("nothing", "Received: nothing, which does not exist"),
        ("keras:Nothing", "must be one of ConvNeXtBase"),
        ("keras:mobilenet_v2", "must be one of ConvNeXtBase"),
        (".", "must be classifier, inception, keras:NAME"),
    ],
)
def test_what_is_not_an_extractor_is_refused(request_, message):
    with pytest.raises(UsageError, match=message):
        load_network(request_)


@pytest.mark.parametrize("suffix", [".keras", ".tflite"])
def test_a_damaged_file_is_refused(tmp_path, suffix):
    if suffix == ".tflite":
        pytest.importorskip("ai_edge_litert", reason="needs the extra `litert`")
    (tmp_path / f"damaged{suffix}").write_bytes(b"damaged")
    with pytest.raises(UsageError, match="damaged.* cannot be used: "):
        load_network(str(tmp_path / f"damaged{suffix}"))


def test_a_network_of_keras_gets_images_as_it_was_trained_with(monkeypatch):
    """Its weights are random here. MobileNetV2 takes values from -1 to 1 at 224 pixels."""
    built, original = [], keras.applications.MobileNetV2

    def random_weights(**options):
        built.append(original(**options | {"weights": None}))
        return built[-1]

    monkeypatch.setattr("keras.applications.MobileNetV2", random_weights)
    extractor = load_network("keras:MobileNetV2")
    images = np.float32(RNG.uniform(-1, 1, (2, 224, 224, 3)))
    np.testing.assert_allclose(extractor.compute(images).values, built[-1](images), atol=1e-4)
    assert extractor.name == "keras:MobileNetV2" and extractor.compute(images).values.shape == (2, 1280)


def test_without_a_network_the_weights_of_keras_cannot_be_had(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise OSError("nobody answers")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", offline)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    with pytest.raises(CycleganError, match="The weights of MobileNetV2 cannot be had: "):
        load_network("keras:MobileNetV2")
