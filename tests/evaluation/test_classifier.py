import keras
import numpy as np
import pytest

from cyclegan.evaluation.classifier import SIZE, Domains, build_classifier, domain_classifier

RNG = np.random.default_rng(0)


def stripes(num, direction):
    """Noise with stripes along one direction, at random phases."""
    waves = np.sin(np.arange(SIZE) * 0.8 + RNG.uniform(0, 6, (num, 1)))
    images = waves[:, :, None] if direction == "rows" else waves[:, None, :]
    return np.float32(
        np.broadcast_to(0.5 * images[..., None], (num, SIZE, SIZE, 1)) + RNG.normal(0, 0.2, (num, SIZE, SIZE, 1))
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    domains = Domains(stripes(40, "rows"), stripes(60, "columns"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cyclegan.evaluation.classifier.MAX_EPOCHS", 12)
        return folder, domains, domain_classifier(domains, cache_dir=folder)


def test_it_tells_domains_apart_that_differ(trained):
    _, _, extractor = trained
    assert np.mean(extractor.compute(stripes(20, "rows")).classes == 0) >= 0.9
    assert np.mean(extractor.compute(stripes(20, "columns")).classes == 1) >= 0.9
    assert extractor.labels == ("A", "B")


def test_its_last_hidden_layer_gives_the_features(trained):
    features = trained[2].compute(stripes(3, "rows"))
    assert features.values.shape == (3, 84) and (features.values >= 0).all()


def test_it_is_kept_and_not_trained_again(trained):
    folder, domains, extractor = trained
    again = domain_classifier(domains, cache_dir=folder, say=pytest.fail)
    assert again.digest == extractor.digest
    images = stripes(4, "rows")
    np.testing.assert_array_equal(again.compute(images).values, extractor.compute(images).values)


def test_other_images_need_another_classifier(trained, monkeypatch):
    folder, domains, _ = trained
    monkeypatch.setattr("cyclegan.evaluation.classifier._train", lambda *_: None)
    lines = []
    domain_classifier(domains._replace(a=domains.a + 0.01), cache_dir=folder, say=lines.append)
    assert lines == ["Training the classifier on 40 images of A and 60 of B."]


def test_images_of_another_size_are_resized(trained):
    larger = np.repeat(np.repeat(stripes(5, "rows"), 2, axis=1), 2, axis=2)
    assert np.mean(trained[2].compute(larger).classes == 0) >= 0.8


def test_the_network_ends_with_probabilities_and_drops_out_before_dense_layers():
    network = build_classifier(3)
    assert network.output_shape == (None, 2)
    kinds = [type(layer) for layer in network.layers]
    hidden = [index for index, kind in enumerate(kinds[:-1]) if kind is keras.layers.Dense]
    assert [kinds[index - 1] for index in hidden] == [keras.layers.Dropout] * 2
    np.testing.assert_allclose(np.sum(network(np.zeros((2, SIZE, SIZE, 3), np.float32)), axis=1), 1, rtol=1e-5)
