import json

import numpy as np
import pytest
from PIL import Image

from cyclegan.bundles.bundle import Bundle
from cyclegan.config.sections import DataConfig
from cyclegan.data.sources import resolve_source
from cyclegan.data.stripes import write_stripes
from cyclegan.data.views import read_batches
from cyclegan.errors import UsageError
from cyclegan.evaluation.evaluate import evaluate_bundle, evaluate_images
from cyclegan.evaluation.features import Extractor, Features
from cyclegan.evaluation.reading import fingerprint_of


def colours(images):
    """Mean and spread of each channel, and whether an image is bright."""
    values = np.concatenate([images.mean(axis=(1, 2)), images.std(axis=(1, 2))], axis=1)
    return Features(values, (images.mean(axis=(1, 2, 3)) > 0).astype(int))


EXTRACTOR = Extractor("colours", "0" * 64, colours, ("dark", "bright"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, make_bundle):
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_stripes(folder / "photos", num_train=12, num_test=6)
    return folder


@pytest.fixture(scope="module")
def source(folder):
    return resolve_source(DataConfig(dataset=str(folder / "photos")), folder, pytest.fail)


@pytest.fixture(scope="module")
def scores(bundle, source):
    return evaluate_bundle(bundle, source, "ab", EXTRACTOR, pytest.fail)


def test_every_distance_stands_beside_its_references(scores):
    for name in ("KID-colours", "Frechet-colours", "SWD"):
        assert scores.distances[name].keys() == {"translated", "untranslated", "real training images"}


def test_real_images_are_nearer_than_what_an_untrained_network_makes(scores):
    for name in ("KID-colours", "Frechet-colours", "SWD"):
        row = scores.distances[name]
        assert row["real training images"].value < row["translated"].value


def test_the_share_of_the_most_common_class_of_real_images_is_named(scores):
    (name,) = (name for name in scores.distances if name.startswith("called "))
    assert name in ("called dark by colours", "called bright by colours")
    assert scores.distances[name]["real test images"].value >= 0.5


def test_content_is_what_numpy_computes(scores, bundle, source):
    batch = np.concatenate(list(read_batches(source.test_a, 3, DataConfig(crop_size=64), pytest.fail)))
    fakes = bundle.generator("ab")(batch).numpy()
    cycled = bundle.generator("ba")(fakes).numpy()
    assert scores.content["cycle L1"].value == pytest.approx(np.abs(batch - cycled).mean(), rel=1e-4)
    errors = ((batch - cycled) ** 2).mean(axis=(1, 2, 3))
    assert scores.content["cycle PSNR"].value == pytest.approx((10 * np.log10(4 / errors)).mean(), rel=1e-4)
    targets = np.concatenate(list(read_batches(source.test_b, 3, DataConfig(crop_size=64), pytest.fail)))
    same = bundle.generator("ab")(targets).numpy()
    assert scores.content["identity L1"].value == pytest.approx(np.abs(targets - same).mean(), rel=1e-4)


def test_on_the_built_in_data_set_the_truth_is_known(scores, bundle, source):
    """Both errors together, weighted by the pixels that count, are the mean difference to the true pictures."""
    batch = np.concatenate(list(read_batches(source.test_a, 3, DataConfig(crop_size=64), pytest.fail)))
    fakes = bundle.generator("ab")(batch).numpy()
    errors = {"error inside": [], "error outside": []}
    for path, fake in zip(source.test_a, fakes, strict=True):
        truth, mask = (
            np.asarray(Image.open(source.folder / "truth" / place / path.name), np.float32)
            for place in ("testA_striped", "testA_mask")
        )
        difference = np.abs(fake - (truth / 127.5 - 1)).mean(axis=-1)
        errors["error inside"].append(difference[mask == 255].mean())
        errors["error outside"].append(difference[mask == 0].mean())
    for name, values in errors.items():
        assert scores.content[name].value == pytest.approx(np.mean(values), rel=1e-3)


@pytest.mark.parametrize("place", ["testA", "truth/testA_striped", "truth/testA_mask"])
def test_an_image_without_its_truth_is_left_out(bundle, tmp_path, place):
    """The others stand beside their own truth."""
    write_stripes(tmp_path / "photos", num_train=4, num_test=6)
    source = resolve_source(DataConfig(dataset=str(tmp_path / "photos")), tmp_path, pytest.fail)
    second, lines = source.test_a[1], []
    expected = evaluate_bundle(
        bundle, source._replace(test_a=(*source.test_a[:1], *source.test_a[2:])), "ab", None, print
    )
    (source.folder / place / second.name).write_bytes(b"not an image")
    scores = evaluate_bundle(bundle, source, "ab", None, lines.append)
    assert scores.content == expected.content and f"{second.name}" in lines[0]


def test_a_way_back_that_is_not_finite_costs_no_other_score(bundle, source, monkeypatch):
    class Spoiled(Bundle):
        def generator(self, direction):
            own = super().generator(direction)
            return own if direction == "ab" else lambda images, training: own(images) * np.nan

    lines = []
    scores = evaluate_bundle(Spoiled(bundle.folder, bundle.info), source, "ab", None, lines.append)
    assert "cycle L1" not in scores.content and "structure kept" in scores.content
    assert "Left out: the cycle L1, which is not a finite number for each image." in lines


def test_the_same_input_gives_the_same_numbers(scores, bundle, source):
    assert evaluate_bundle(bundle, source, "ab", EXTRACTOR, pytest.fail) == scores


def test_the_protocol_names_images_extractor_and_preprocessing(scores, source):
    protocol = scores.protocol
    assert protocol.images["translated"].startswith("6 images, ")
    drawn = protocol.images["real training images"]
    assert drawn.startswith("6 images, ") and drawn != f"6 images, {fingerprint_of(source.train_b)}"
    assert (protocol.extractor, protocol.extractor_digest) == ("colours", "0" * 64)
    assert protocol.preprocessing == "stretch to 64 pixels, antialiased bicubic"
    assert "tensorflow" in protocol.versions
    json.dumps(scores.model_dump(mode="json"))


def test_without_an_extractor_there_are_the_scores_that_need_none(bundle, source):
    scores = evaluate_bundle(bundle, source, "ba", None, pytest.fail)
    assert scores.distances.keys() == {"SWD"} and scores.content


def test_copied_images_are_at_the_distance_of_the_untranslated_ones(scores, source):
    copied = evaluate_images(source.test_b, source.test_a, EXTRACTOR, pytest.fail, size=64)
    assert copied.distances["KID-colours"]["images"] == scores.distances["KID-colours"]["untranslated"]


def test_grey_and_colour_domains_are_scored_without_an_identity_loss(tmp_path, source, make_bundle):
    scores = evaluate_bundle(make_bundle(tmp_path, 1, 3), source, "ba", EXTRACTOR, pytest.fail)
    assert "identity L1" not in scores.content and "structure kept" in scores.content
    assert scores.distances["KID-colours"]["translated"].value > 0
    assert 0 < scores.content["error outside"].value < 2


def test_features_of_images_with_alpha_are_refused(tmp_path, source, make_bundle):
    with pytest.raises(UsageError, match="This model has 4 channels: leave out --features"):
        evaluate_bundle(make_bundle(tmp_path, 4, 4), source, "ab", EXTRACTOR, pytest.fail)


def test_a_data_set_without_test_images_is_refused(bundle, source):
    with pytest.raises(UsageError, match="at least 2 test images of the target domain. Received: 0"):
        evaluate_bundle(bundle, source._replace(test_b=()), "ab", None, pytest.fail)
