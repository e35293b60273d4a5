import numpy as np
import pytest

from cyclegan.bundles.bundle import load_bundle
from cyclegan.bundles.packing import NOT_STATED, pack_bundle, read_notes
from cyclegan.errors import CycleganError, UsageError
from cyclegan.evaluation.protocol import Protocol, Scores
from cyclegan.evaluation.scores import Value


@pytest.fixture
def bundle(make_bundle, tmp_path):
    return make_bundle(tmp_path / "bundle")


def test_a_packed_bundle_has_half_the_bytes_and_weights_rounded_to_16_bits(bundle, tmp_path):
    pack_bundle(bundle, tmp_path / "packed", "zebras")
    packed = load_bundle(tmp_path / "packed")
    for direction in ("ab", "ba"):
        for one, other in zip(
            bundle.generator(direction).get_weights(), packed.generator(direction).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one.astype(np.float16), other)
            assert other.dtype == np.float32
    sizes = [sum(path.stat().st_size for path in one.folder.glob("*.npz")) for one in (packed, bundle)]
    assert sizes[0] < 0.75 * sizes[1]  # of so few weights the headers are a large part


def test_the_card_says_what_the_bundle_knows_and_what_it_is_told(bundle, tmp_path):
    value = Value(0.5, 0.4, 0.6)
    protocol = Protocol(
        images={"translated": "120 images"}, preprocessing="stretch", extractor="mobilenet", extractor_digest="12ab",
        seed=0, versions={},
    )  # fmt: skip
    scores = Scores(
        title="", direction="ab", weights_sha256=bundle.info.weights["ab"].sha256,
        distances={"KID": {"translated": value, "untranslated": Value(0.8, 0.7, 0.9)}},
        content={"cycle L1": value}, protocol=protocol,
    )  # fmt: skip
    others = [scores.model_copy(update=change) for change in ({"weights_sha256": "other"}, {"direction": ""})]
    pack_bundle(bundle, tmp_path / "packed", "zebras", [*others, scores], "The licence is mine.\n")
    lines = (tmp_path / "packed" / "README.md").read_text().splitlines()
    assert "# zebras" in lines and "The licence is mine." in lines
    assert "    cyclegan translate photos/ translated/ --model zebras --direction ab" in lines
    assert "| KID | 0.500 (0.400 to 0.600) | 0.800 (0.700 to 0.900) |" in lines
    assert "| cycle L1 | 0.500 (0.400 to 0.600) |  |" in lines
    assert "Extractor: mobilenet, SHA-256 12ab." in lines
    assert [line for line in lines if line.startswith("## Test")] == ["## Test images, ab"]
    with pytest.raises(UsageError, match="The scores must be those of the bundle that is packed"):
        pack_bundle(bundle, tmp_path / "packed", "zebras", others)


def test_a_bundle_that_is_packed_again_keeps_its_notes_and_no_old_weights(bundle, make_bundle, tmp_path):
    packed = tmp_path / "packed"
    pack_bundle(bundle, packed, "zebras")
    assert read_notes(packed) is None
    card = packed / "README.md"
    card.write_text(card.read_text().replace(NOT_STATED, "The licence is mine."))
    other = make_bundle(tmp_path / "other", seed=2)
    pack_bundle(other, packed, "zebras")
    assert read_notes(packed) == "The licence is mine."
    assert len(list(packed.glob("*.npz"))) == 2


def test_nothing_but_a_packed_bundle_is_replaced(bundle, make_bundle, tmp_path):
    pack_bundle(bundle, tmp_path / "packed", "zebras")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    trained = make_bundle(tmp_path / "run" / "bundle" / "best").folder
    pairs = [(bundle, tmp_path / "photos"), (bundle, trained), (bundle, bundle.folder)]
    for source, folder in [*pairs, (load_bundle(tmp_path / "packed"), tmp_path / "packed")]:
        before = sorted(path.name for path in folder.iterdir())
        with pytest.raises(UsageError, match="must be a new or empty folder, or a bundle that was packed before"):
            pack_bundle(source, folder, "zebras")
        assert sorted(path.name for path in folder.iterdir()) == before


def test_a_weight_that_16_bits_cannot_hold_is_named(bundle, tmp_path, monkeypatch):
    generator = bundle.generator("ab")
    generator.get_layer("last_conv").bias.assign([0.0, 1e5, 0.0])
    monkeypatch.setattr(type(bundle), "generator", lambda self, direction: generator)
    with pytest.raises(CycleganError, match="The weight `last_conv/bias` of generator_ab is too large for 16 bits"):
        pack_bundle(bundle, tmp_path / "packed", "zebras")
    assert not (tmp_path / "packed").exists()
