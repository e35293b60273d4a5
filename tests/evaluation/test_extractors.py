import pytest

from cyclegan.config.sections import DataConfig
from cyclegan.data.sources import resolve_source
from cyclegan.data.stripes import write_stripes
from cyclegan.errors import UsageError
from cyclegan.evaluation.extractors import choose_extractor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "photos"
    write_stripes(folder, num_train=6, num_test=2)
    return folder


def choose(folder, request, **keys):
    config = DataConfig(dataset=str(folder), **keys)
    return choose_extractor(request, resolve_source(config, folder, pytest.fail), config, lambda line: None, 0, None)


def test_the_classifier_is_trained_on_the_training_images(folder, monkeypatch):
    monkeypatch.setattr("cyclegan.evaluation.classifier.MAX_EPOCHS", 1)
    assert choose(folder, "classifier").name == "classifier"


@pytest.mark.parametrize("channels", [(1, 3), (4, 4)])
def test_a_classifier_needs_domains_of_one_kind(folder, channels):
    with pytest.raises(UsageError, match="needs domains with the same number of channels, 1 or 3"):
        choose(folder, "classifier", channels_a=channels[0], channels_b=channels[1])


def test_a_classifier_needs_images_that_can_be_read(folder):
    with pytest.raises(UsageError, match=r"at least 4 training images .* Received: 0 of 6, .*trainA"):
        choose(folder, "classifier", max_pixels=10)


def test_any_other_request_is_a_network_that_exists(folder):
    with pytest.raises(UsageError, match="nothing.keras cannot be read: No such file"):
        choose(folder, "nothing.keras")
