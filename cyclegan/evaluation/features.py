"""Feature extractors: networks that turn an image into the numbers by which sets of images are compared."""

import hashlib
import inspect
import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cyclegan.errors import CycleganError, UsageError, first_line

BATCH = 16

INCEPTION = "inception"

PUBLISHED = {"KID": "KID", "Frechet": "FID"}
"""What the distances are called for the features of the Inception network of 2015, and of no other."""


class Features(NamedTuple):
    """What an extractor finds in images.

    Attributes:
        values: float32 [n, d].
        classes: the number of the class that it takes each image for, int [n]; None if it has no classes.
    """

    values: np.ndarray
    classes: np.ndarray | None


class Extractor(NamedTuple):
    """A feature extractor.

    Attributes:
        name: stands beside each score that was made with it.
        digest: SHA-256 of its weights.
        compute: takes RGB images, float32 [n, height, width, 3] in [-1, 1] of any size.
        labels: the names of its classes; none if they are not known.
    """

    name: str
    digest: str
    compute: Callable[[np.ndarray], Features]
    labels: Sequence[str] = ()

    def title(self, distance: str) -> str:
        """The name of a distance of these features."""
        return PUBLISHED[distance] if self.name == INCEPTION else f"{distance}-{self.name}"

    def label(self, number: int) -> str:
        """The name of a class, or its number."""
        return self.labels[number] if number < len(self.labels) else f"class {number}"


def load_network(request: str) -> Extractor:
    """The extractor that `--features` names.

    Args:
        request: `keras:NAME` for a network of Keras Applications, or the path of a .tflite or .keras file or of a
            SavedModel. `FILE.tflite:TENSOR` names the tensor that holds the features.

    Raises:
        UsageError: if it does not exist or cannot be used.
        CycleganError: if its weights cannot be had.
    """
    if request.startswith("keras:"):
        return _keras_application(request.removeprefix("keras:"))
    path = pathlib.Path(request).expanduser()
    file, _, tensor = request.rpartition(":")
    if not path.exists() and file.endswith(".tflite"):
        return _litert_file(pathlib.Path(file).expanduser(), tensor)
    for suffix, load in {".tflite": _litert_file, ".keras": _keras_file}.items():
        if path.suffix == suffix:
            return load(path)
    if (path / "saved_model.pb").is_file():
        return _saved_model(path)
    raise UsageError(
        "The features must be classifier, inception, keras:NAME, such as keras:MobileNetV2, or a .tflite file, a .keras"
        f" file or the folder of a SavedModel. Received: {request}{'' if path.exists() else ', which does not exist'}."
    )


def _litert_file(path: pathlib.Path, tensor: str = "") -> Extractor:
    """A .tflite network. Its features are the tensor of this name, or else the last pooled one of shape [1, ..., d]."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UsageError(
            "Features from a .tflite file need the extra `litert`: pip install 'cyclegan[litert]'"
        ) from error
    data = _read(path)
    try:
        with warnings.catch_warnings():  # it warns that keeping all tensors takes memory
            warnings.simplefilter("ignore")
            interpreter = Interpreter(model_content=data, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{path} cannot be used: {first_line(error)}") from error
    (given, *_), (output, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    found = _feature_tensor(interpreter.get_tensor_details(), output, tensor, path)
    height, width = (int(side) for side in given["shape"][1:3])

    def value(details: dict[str, Any]) -> np.ndarray:
        raw = interpreter.get_tensor(details["index"]).reshape(-1)
        scale, zero = details["quantization"]
        real: np.ndarray = raw.astype(np.float32)
        return np.float32(scale) * (real - np.float32(zero)) if scale else real

    def compute(images: np.ndarray) -> Features:
        values, classes = [], []
        for image in resized(images, height, width):
            interpreter.set_tensor(given["index"], _as_input(image[None], given["dtype"]))
            interpreter.invoke()
            values.append(value(found))
            classes.append(int(value(output).argmax()))
        return Features(np.stack(values), np.array(classes))

    return Extractor(path.stem, hashlib.sha256(data).hexdigest(), compute, _labels(path, int(output["shape"][-1])))


def _labels(path: pathlib.Path, num_classes: int) -> list[str]:
    """The lines of a file such as labels.txt beside a network, if it has as many lines as the network has classes."""
    for file in sorted(path.parent.glob("*labels*.txt")):
        lines = file.read_text("utf-8", errors="replace").splitlines()
        if len(lines) == num_classes:
            return [line.split(",")[0] for line in lines]
    return []


def _feature_tensor(
    details: list[dict[str, Any]], output: dict[str, Any], name: str, path: pathlib.Path
) -> dict[str, Any]:
    vectors = {
        each["name"]: each
        for each in details
        if len(each["shape"]) > 1 and np.prod(each["shape"]) == each["shape"][-1] > 1 and each["name"]
    }
    vectors.pop(output["name"], None)
    pooled = [key for key in vectors if "pool" in key.lower() or "mean" in key.lower()]
    if name in vectors:
        return vectors[name]
    if not name and pooled:
        return vectors[pooled[-1]]
    known = ", ".join(vectors) or "none"
    raise UsageError(f"The features must name a tensor, as {path.name}:TENSOR. Its vectors are: {known}.")


def _as_input(images: np.ndarray, dtype: type) -> np.ndarray:
    """Images in [-1, 1] as a network takes them: levels from 0 to 255 if it takes whole numbers."""
    if np.issubdtype(dtype, np.floating):
        return images.astype(dtype)
    levels = np.rint((images + 1) * 127.5).clip(0, 255)
    return (levels - 128 if np.issubdtype(dtype, np.signedinteger) else levels).astype(dtype)


def _keras_application(name: str) -> Extractor:
    builder = getattr(keras.applications, name, None)
    if not callable(builder) or not name[:1].isupper():
        known = ", ".join(key for key in dir(keras.applications) if key[:1].isupper())
        raise UsageError(f"The NAME in keras:NAME must be one of {known}. Received: {name}.")
    module = next(one for one in vars(keras.applications).values() if inspect.ismodule(one) and hasattr(one, name))
    size = builder(include_top=True, weights=None).input_shape[1:3]
    try:
        network = builder(include_top=False, pooling="avg", weights="imagenet", input_shape=(*size, 3))
    except Exception as error:  # whatever the download raises
        raise CycleganError(
            f"The weights of {name} cannot be had: {first_line(error)}. Without a network, put the file that Keras"
            " downloads into ~/.keras/models, or use the file of a network."
        ) from error

    def compute(images: np.ndarray) -> Features:
        levels = (resized(images, *size) + 1) * 127.5
        return Features(_in_batches(network, module.preprocess_input(levels)), None)

    return Extractor(f"keras:{name}", _digest_of(network), compute)


def _keras_file(path: pathlib.Path) -> Extractor:
    data = _read(path)
    try:
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds
        raise UsageError(f"{path} cannot be used: {first_line(error)}") from error
    height, width = network.input_shape[1:3]

    def compute(images: np.ndarray) -> Features:
        return Features(_in_batches(network, resized(images, height, width)), None)

    return Extractor(path.stem, hashlib.sha256(data).hexdigest(), compute)


def _saved_model(path: pathlib.Path) -> Extractor:
    try:
        loaded = tf.saved_model.load(str(path))
        signature = loaded.signatures["serving_default"]
        (name, given), *others = signature.structured_input_signature[1].items()
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise UsageError(f"{path} cannot be used: {first_line(error)}") from error
    if others:
        raise UsageError(f"{path} must have one input, an image. Received: {1 + len(others)} inputs.")
    height, width = given.shape[1:3]

    def network(images: np.ndarray) -> tf.Tensor:
        assert loaded  # or its variables would vanish
        return tf.nest.flatten(signature(**{name: tf.constant(images, given.dtype)}))[0]

    def compute(images: np.ndarray) -> Features:
        return Features(_in_batches(network, resized(images, height, width)), None)

    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file() and each.name != "fingerprint.pb"):
        digest.update(file.read_bytes())
    return Extractor(path.name, digest.hexdigest(), compute)


def _read(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def resized(images: np.ndarray, height: int | None, width: int | None) -> np.ndarray:
    """Images of the size that a network takes, by an antialiased bicubic filter, clipped to [-1, 1]."""
    if height is None or width is None or images.shape[1:3] == (height, width):
        return images
    resized: np.ndarray = tf.image.resize(images, (height, width), "bicubic", antialias=True).numpy()
    return resized.clip(-1, 1)


def _in_batches(network: Callable[[np.ndarray], Any], images: np.ndarray) -> np.ndarray:
    """The outputs of a network, with the mean over their places: float32 [n, d]."""
    parts = []
    for start in range(0, len(images), BATCH):
        output = np.asarray(network(images[start : start + BATCH]), np.float32)
        parts.append(output.reshape(len(output), -1, output.shape[-1]).mean(axis=1))
    return np.concatenate(parts)


def _digest_of(network: keras.Model) -> str:
    digest = hashlib.sha256()
    for array in network.get_weights():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
