import hashlib
import json
import pathlib
import shutil

import numpy as np
import pytest

import cyclegan
from cyclegan.bundles.bundle import load_bundle, save_bundle
from cyclegan.bundles.info import bundle_info
from cyclegan.config.files import load_config
from cyclegan.config.networks import GeneratorConfig
from cyclegan.errors import CycleganError, UsageError
from cyclegan.networks.generators import build_generator

CONFIG = load_config("smoke")


@pytest.fixture(scope="module")
def generators():
    return {direction: build_generator(CONFIG.generator) for direction in ("ab", "ba")}


@pytest.fixture(scope="module")
def saved(generators, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    save_bundle(folder, generators, bundle_info(CONFIG, 7))
    return folder


@pytest.fixture
def bundle(saved, tmp_path):
    """The bundle of a run, which a test may change."""
    return pathlib.Path(shutil.copytree(saved, tmp_path / "run" / "bundle" / "last"))


def edit(folder, **changes):
    content = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(content | changes))


@pytest.mark.parametrize("direction", ["ab", "ba"])
def test_a_generator_comes_back_bit_for_bit_from_bundle_and_run(bundle, generators, direction):
    for path in (bundle, bundle.parent.parent):
        loaded = cyclegan.load_generator(path, direction)
        for one, other in zip(loaded.get_weights(), generators[direction].get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_best_bundle_of_a_run_is_taken_where_there_is_one(bundle, generators):
    run = bundle.parent.parent
    assert load_bundle(run).folder == load_bundle(run, "last").folder == bundle
    save_bundle(run / "bundle" / "best", generators, bundle_info(CONFIG, 5, validation={"kid": 0.5}))
    assert load_bundle(run).folder == load_bundle(run, "best").folder == run / "bundle" / "best"
    assert load_bundle(run).info.provenance.validation == {"kid": 0.5}
    assert load_bundle(run, "last").info.provenance.step == 7


def test_a_bundle_that_a_run_does_not_have_is_refused(bundle):
    with pytest.raises(UsageError, match=r"has no bundle in bundle/best. It is chosen by validation images"):
        load_bundle(bundle.parent.parent, "best")
    with pytest.raises(UsageError, match=r"`--which` is for runs, which have several bundles"):
        load_bundle(bundle, "last")


def test_a_bundle_keeps_only_the_last_part_of_the_path_of_features():
    config = load_config("smoke", [("evaluation.features", "/home/me/net.tflite")])
    assert bundle_info(config, 1).provenance.config["evaluation"]["features"] == "net.tflite"


def test_a_new_bundle_replaces_the_old_one_and_its_weights(bundle):
    new = {direction: build_generator(CONFIG.generator) for direction in ("ab", "ba")}
    save_bundle(bundle, new, bundle_info(CONFIG, 8))
    assert load_bundle(bundle).info.provenance.step == 8
    np.testing.assert_array_equal(cyclegan.load_generator(bundle).get_weights()[0], new["ab"].get_weights()[0])


def test_a_reader_of_the_replaced_bundle_still_finds_its_weights(bundle, generators):
    reader = load_bundle(bundle)
    save_bundle(bundle, {"ab": build_generator(CONFIG.generator)}, bundle_info(CONFIG, 8))
    for direction, model in generators.items():
        np.testing.assert_array_equal(reader.generator(direction).get_weights()[0], model.get_weights()[0])


def test_weights_from_before_the_replaced_bundle_are_removed(bundle):
    first = {path.name for path in bundle.glob("*.npz")}
    for step in (8, 9):
        save_bundle(bundle, {"ab": build_generator(CONFIG.generator)}, bundle_info(CONFIG, step))
    left = {path.name for path in bundle.glob("*.npz")}
    assert len(left) == 2 and not left & first


def test_a_damaged_bundle_is_replaced(bundle, generators):
    (bundle / "bundle.json").write_text("{")
    save_bundle(bundle, generators, bundle_info(CONFIG, 8))
    assert load_bundle(bundle).info.provenance.step == 8


def test_a_bundle_does_not_contain_the_folders_of_the_training_images():
    places = {"dataset": "/home/me/photos", "domain_a": "/home/me/horses", "domain_b": "/home/me/zebras"}
    config = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update=places)})
    assert "/home" not in bundle_info(config, 1).model_dump_json()


def test_damaged_weights_are_refused(bundle):
    path = next(bundle.glob("generator_ab-*.npz"))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(CycleganError, match="damaged"):
        cyclegan.load_generator(bundle)


def test_weights_of_another_architecture_are_refused(bundle):
    edit(bundle, generator=GeneratorConfig(filters=8, num_blocks=1).model_dump())
    with pytest.raises(CycleganError, match="must have shape .* Received"):
        cyclegan.load_generator(bundle)


def test_weights_that_could_run_code_are_refused(bundle):
    np.savez(bundle / "code.npz", **{"first_conv/bias": np.array([print], dtype=object)})
    digest = hashlib.sha256((bundle / "code.npz").read_bytes()).hexdigest()
    edit(bundle, weights={"ab": {"file": "code.npz", "sha256": digest}})
    with pytest.raises(CycleganError, match="code.npz is not a file of plain arrays"):
        cyclegan.load_generator(bundle)


@pytest.mark.parametrize("changes", [{"filters": 20_000}, {"num_blocks": 1_000_000}])
def test_an_architecture_far_beyond_the_weights_is_refused_before_it_is_built(bundle, changes):
    edit(bundle, generator=CONFIG.generator.model_copy(update=changes).model_dump())
    with pytest.raises(CycleganError, match="Received: 8 kernels that do not fit this"):
        cyclegan.load_generator(bundle)


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
def test_a_wrong_value_is_refused_by_its_name(bundle, changes, message):
    edit(bundle, **changes)
    with pytest.raises(UsageError, match=f"bundle.json cannot be read: .*{message}"):
        load_bundle(bundle)


@pytest.mark.parametrize("content", ["[]", "3", "null"])
def test_a_bundle_file_without_keys_is_refused(bundle, content):
    (bundle / "bundle.json").write_text(content)
    with pytest.raises(UsageError, match="`format_version` must be a number"):
        load_bundle(bundle)


def test_a_bundle_cannot_name_files_outside_its_folder(bundle):
    outside = bundle.parent / "outside.npz"
    outside.write_bytes(b"secret")
    entry = {"file": "../outside.npz", "sha256": hashlib.sha256(b"secret").hexdigest()}
    edit(bundle, weights={"ab": entry})
    with pytest.raises(CycleganError, match="must be the name of an"):
        cyclegan.load_generator(bundle)


def test_a_direction_that_is_not_in_the_bundle_is_refused(generators, tmp_path):
    save_bundle(tmp_path, {"ab": generators["ab"]}, bundle_info(CONFIG, 1))
    with pytest.raises(UsageError, match="`direction` must be one of ab for .* Received: ba"):
        cyclegan.load_generator(tmp_path, "ba")


def test_a_folder_without_a_bundle_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is neither a run with a trained model nor a bundle"):
        load_bundle(tmp_path)


def test_a_newer_format_is_refused(bundle):
    edit(bundle, format_version=2)
    with pytest.raises(UsageError, match="is a bundle of format 2, but this version of cyclegan reads formats up to 1"):
        load_bundle(bundle)


def test_a_file_that_is_not_json_is_refused(bundle):
    (bundle / "bundle.json").write_text("{")
    with pytest.raises(UsageError, match="bundle.json cannot be read"):
        load_bundle(bundle)
