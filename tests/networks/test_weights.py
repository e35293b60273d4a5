import io
import pathlib
import zipfile

import keras
import numpy as np
import pytest

from cyclegan.config.networks import GeneratorConfig
from cyclegan.errors import CycleganError
from cyclegan.networks.generators import build_generator
from cyclegan.networks.weights import encode_weights, named_weights, read_shapes, set_weights, weight_arrays

CONFIG = GeneratorConfig(filters=4, num_blocks=1)
PATH = pathlib.Path("weights.npz")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build_generator(CONFIG)


def npz(write=np.savez, **arrays):
    buffer = io.BytesIO()
    write(buffer, **arrays)
    return buffer.getvalue()


def arrays_of(model):
    return {key: variable.numpy() for key, variable in named_weights(model).items()}


def test_weights_are_named_by_layer_and_weight(model):
    convolutions = "first down_1 down_2 residual_1_conv_1 residual_1_conv_2 up_1 up_2 last".split()
    layers = [name if "residual" in name else f"{name}_conv" for name in convolutions]
    assert set(named_weights(model)) == {f"{layer}/{weight}" for layer in layers for weight in ("kernel", "bias")}


def test_encoded_weights_are_plain_arrays(model):
    with np.load(io.BytesIO(encode_weights(weight_arrays(model))), allow_pickle=False) as arrays:
        for key, variable in named_weights(model).items():
            np.testing.assert_array_equal(arrays[key], variable.numpy())


def test_shapes_are_read_from_the_headers(model):
    shapes = read_shapes(encode_weights(weight_arrays(model)), PATH)
    assert shapes == {key: array.shape for key, array in arrays_of(model).items()}


def test_weights_come_back_bit_for_bit(model):
    data = encode_weights(weight_arrays(model))
    other = build_generator(CONFIG)
    set_weights(other, data, read_shapes(data, PATH), PATH)
    for one, another in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, another)


def test_objects_which_could_run_code_are_refused():
    data = npz(**{"first_conv/bias": np.array([print], dtype=object)})
    with pytest.raises(CycleganError, match="weights.npz is not a file of plain arrays"):
        read_shapes(data, PATH)


def test_compressed_arrays_are_refused_before_they_are_decompressed():
    data = npz(np.savez_compressed, zeros=np.zeros(10**7, np.float32))
    with pytest.raises(CycleganError, match="`zeros` is compressed"):
        read_shapes(data, PATH)


def test_other_versions_of_the_array_format_are_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("zeros.npy", "w") as file:
        np.lib.format.write_array(file, np.zeros(3, np.float32), version=(2, 0))
    with pytest.raises(CycleganError, match=r"`zeros` must have version \(1, 0\) of the format. Received: \(2, 0\)"):
        read_shapes(buffer.getvalue(), PATH)


@pytest.mark.parametrize(
    ("bias", "received"), [(np.array(["1"]), "<U1"), (np.array([1]), "int64"), (np.array([3j]), "complex128")]
)
def test_arrays_must_hold_floating_point_numbers(bias, received):
    message = f"`last_conv/bias` must hold floating-point numbers. Received: {received}"
    with pytest.raises(CycleganError, match=message):
        read_shapes(npz(**{"last_conv/bias": bias}), PATH)


def test_an_array_with_fewer_numbers_than_its_header_says_is_named_with_its_file(model):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key, array in arrays_of(model).items():
            file = io.BytesIO()
            np.lib.format.write_array(file, array, version=(1, 0))
            archive.writestr(f"{key}.npy", file.getvalue()[: -4 if key == "last_conv/bias" else None])
    data = buffer.getvalue()
    with pytest.raises(CycleganError, match=r"^weights\.npz is damaged: `last_conv/bias` cannot be read: ") as error:
        set_weights(build_generator(CONFIG), data, read_shapes(data, PATH), PATH)
    assert "\n" not in str(error.value)


def test_values_must_be_finite(model):
    data = npz(**arrays_of(model) | {"last_conv/bias": np.array([1, 2, np.nan], np.float32)})
    with pytest.raises(CycleganError, match="`last_conv/bias` has values that are not finite"):
        set_weights(build_generator(CONFIG), data, read_shapes(data, PATH), PATH)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"last_conv/bias": np.zeros(4)}, r"`last_conv/bias` must have shape \(3,\). Received: \(4,\)"),
        ({"more/bias": np.zeros(4)}, r"`more/bias` must have shape None. Received: \(4,\)"),
        ({"last_conv/bias": None}, r"`last_conv/bias` must have shape \(3,\). Received: None"),
    ],
)
def test_the_first_weight_that_does_not_fit_is_named(model, change, message):
    data = npz(**{key: array for key, array in (arrays_of(model) | change).items() if array is not None})
    with pytest.raises(CycleganError, match=f"First of 1 difference: {message}"):
        set_weights(model, data, read_shapes(data, PATH), PATH)
