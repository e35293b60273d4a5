import hashlib
import io
import json

import numpy as np
import pytest

import cyclegan
from cyclegan.config import GeneratorConfig
from cyclegan.config_files import load_config
from cyclegan.errors import CycleganError, UsageError
from cyclegan.networks.bundle import bundle_info, load_bundle, save_bundle
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
    config = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"dataset": "/home/me/photos"})})
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
    with pytest.raises(CycleganError, match="holds no plain arrays"):
        cyclegan.load_generator(folder)


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
