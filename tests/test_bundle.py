import hashlib
import io
import json

import numpy as np
import pytest

import cyclegan
from cyclegan.bundle import bundle_info, load_bundle, save_bundle
from cyclegan.config.files import load_config
from cyclegan.config.sections import GeneratorConfig
from cyclegan.errors import CycleganError, UsageError
from cyclegan.networks.generators import build_generator

CONFIG = load_config("smoke")


def models():
    return {direction: build_generator(CONFIG.generator) for direction in ("ab", "ba")}


@pytest.fixture
def bundle(tmp_path):
    generators = models()
    save_bundle(tmp_path / "run" / "bundle" / "last", generators, bundle_info(CONFIG, 7))
    return tmp_path / "run" / "bundle" / "last", generators


def edit(folder, **changes):
    content = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(content | changes))


@pytest.mark.parametrize("direction", ["ab", "ba"])
def test_a_generator_comes_back_bit_for_bit_from_bundle_and_run(bundle, direction):
    folder, generators = bundle
    for path in (folder, folder.parent.parent):
        loaded = cyclegan.load_generator(path, direction)
        for one, other in zip(loaded.get_weights(), generators[direction].get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_weights_are_plain_arrays_named_by_layer(bundle):
    folder, generators = bundle
    with np.load(next(folder.glob("generator_ab-*.npz")), allow_pickle=False) as arrays:
        assert arrays["residual_1_conv_1/kernel"].shape == (3, 3, 16, 16)
        assert len(arrays.files) == len(generators["ab"].weights)
        convolutions = "first down_1 down_2 residual_1_conv_1 residual_1_conv_2 up_1 up_2 last".split()
        layers = [name if "residual" in name else f"{name}_conv" for name in convolutions]
        assert set(arrays.files) == {f"{layer}/{weight}" for layer in layers for weight in ("kernel", "bias")}


def test_replacing_a_bundle_leaves_no_weights_of_the_old_one(bundle):
    folder, _ = bundle
    generators = models()
    save_bundle(folder, generators, bundle_info(CONFIG, 8))
    assert len(list(folder.iterdir())) == 3
    assert load_bundle(folder).info.provenance.step == 8
    np.testing.assert_array_equal(cyclegan.load_generator(folder).get_weights()[0], generators["ab"].get_weights()[0])


def test_places_on_the_makers_disk_do_not_travel():
    places = {"dataset": "/home/me/photos", "domain_a": "/home/me/horses", "domain_b": "/home/me/zebras"}
    config = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update=places)})
    assert "/home" not in bundle_info(config, 1).model_dump_json()


def test_damaged_weights_are_refused(bundle):
    folder, _ = bundle
    path = next(folder.glob("generator_ab-*.npz"))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(CycleganError, match="damaged"):
        cyclegan.load_generator(folder)


def test_weights_of_another_architecture_are_refused_with_the_first_difference(bundle):
    folder, _ = bundle
    edit(folder, generator=GeneratorConfig(filters=8, num_blocks=1).model_dump())
    with pytest.raises(CycleganError, match="must have shape .* Received"):
        cyclegan.load_generator(folder)


def test_weights_that_would_run_code_are_refused(bundle):
    folder, _ = bundle
    path = next(folder.glob("generator_ab-*.npz"))
    buffer = io.BytesIO()
    np.savez(buffer, **{"first_conv/bias": np.array([print], dtype=object)})
    path.write_bytes(buffer.getvalue())
    edit(folder, weights={"ab": {"file": path.name, "sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}})
    with pytest.raises(CycleganError, match="is not a file of plain arrays"):
        cyclegan.load_generator(folder)


def replace_weights(folder, write, **arrays):
    """The generator from A to B becomes these arrays, with the right digest."""
    buffer = io.BytesIO()
    write(buffer, **arrays)
    (folder / "new.npz").write_bytes(buffer.getvalue())
    edit(folder, weights={"ab": {"file": "new.npz", "sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}})


def test_compressed_weights_are_refused_unread(bundle):
    folder, _ = bundle
    replace_weights(folder, np.savez_compressed, zeros=np.zeros(10**7, np.float32))
    with pytest.raises(CycleganError, match="`zeros` is compressed"):
        cyclegan.load_generator(folder)


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        (np.array(["1", "2"]), r"`last_conv/bias` must hold floating-point numbers. Received: <U1"),
        (np.array([1, 2, 3]), r"floating-point numbers. Received: int64"),
        (np.array([1, 2, 3j]), r"floating-point numbers. Received: complex128"),
        (np.array([1, 2, np.nan], np.float32), "`last_conv/bias` has values that are not finite"),
    ],
)
def test_weights_are_finite_floating_point_numbers(bundle, bias, message):
    folder, _ = bundle
    with np.load(next(folder.glob("generator_ab-*.npz"))) as arrays:
        weights = dict(arrays)
    replace_weights(folder, np.savez, **weights | {"last_conv/bias": bias})
    with pytest.raises(CycleganError, match=message):
        cyclegan.load_generator(folder)


@pytest.mark.parametrize("changes", [{"filters": 20_000}, {"num_blocks": 1_000_000}])
def test_an_architecture_far_beyond_the_weights_is_refused_before_it_is_built(bundle, changes):
    folder, _ = bundle
    edit(folder, generator=CONFIG.generator.model_copy(update=changes).model_dump())
    with pytest.raises(CycleganError, match="Received: 8 kernels that do not fit this"):
        cyclegan.load_generator(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": "2"}, "`format_version` must be a number from 1 to 1. Received: '2'"),
        ({"format_version": 1.0}, "Received: 1.0"),
        ({"format_version": None}, "Received: None"),
        ({"size_multiple": 0}, "`size_multiple` must be 4 for this generator. Received: 0"),
        ({"min_size": 4}, "`min_size` must be 8 for this generator. Received: 4"),
        ({"channels_a": -1}, "`channels_a`: Input should be 1, 3 or 4"),
        ({"crop_size": 0}, "`crop_size`: Input should be greater than or equal to 1"),
        ({"crop_size": 10**12}, "`crop_size`: Input should be less than or equal to 65536"),
        ({"value_range": [5, 5]}, r"`value_range` must be \[low, high\] with low < high. Received: \[5.0, 5.0\]"),
        ({"value_range": [float("nan"), 1]}, "`value_range.0`: Input should be a finite number"),
        ({"generator": {"normalization": "foo"}}, "`generator.normalization`: Input should be"),
        (
            {"weights": {"ab": {"file": "a\0b.npz", "sha256": ""}}},
            "must be the name of an .npz file in the same folder",
        ),
        (
            {"weights": {"ab": {"file": "\ud800.npz", "sha256": ""}}},
            "must be the name of an .npz file in the same folder",
        ),
    ],
)
def test_what_a_bundle_says_is_checked_and_named(bundle, changes, message):
    folder, _ = bundle
    edit(folder, **changes)
    with pytest.raises(UsageError, match=f"bundle.json cannot be read: .*{message}"):
        load_bundle(folder)


@pytest.mark.parametrize("content", ["[]", "3", "null"])
def test_a_bundle_file_without_keys_is_refused(bundle, content):
    folder, _ = bundle
    (folder / "bundle.json").write_text(content)
    with pytest.raises(UsageError, match="`format_version` must be a number"):
        load_bundle(folder)


def test_a_bundle_cannot_point_out_of_its_folder(bundle):
    folder, _ = bundle
    outside = folder.parent / "outside.npz"
    outside.write_bytes(b"secret")
    entry = {"file": "../outside.npz", "sha256": hashlib.sha256(b"secret").hexdigest()}
    edit(folder, weights={"ab": entry})
    with pytest.raises(CycleganError, match="cannot be read"):
        cyclegan.load_generator(folder)


def test_a_missing_direction_a_newer_format_and_no_bundle_are_refused(bundle, tmp_path):
    folder, generators = bundle
    save_bundle(tmp_path / "half", {"ab": generators["ab"]}, bundle_info(CONFIG, 1))
    with pytest.raises(UsageError, match="`direction` must be one of ab"):
        cyclegan.load_generator(tmp_path / "half", "ba")
    with pytest.raises(UsageError, match="neither a run"):
        load_bundle(tmp_path)
    edit(folder, format_version=2)
    with pytest.raises(UsageError, match="format 2"):
        load_bundle(folder)
    (folder / "bundle.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        load_bundle(folder)
