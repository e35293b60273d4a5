import shutil

import pytest

from cyclegan.bundles import places
from cyclegan.bundles.places import find_bundle, model_names
from cyclegan.errors import UsageError


@pytest.fixture
def models(make_bundle, tmp_path, monkeypatch):
    """Two models that come with the program, and an empty directory to work in."""
    for name in ("horse2zebra", "apple2orange"):
        make_bundle(tmp_path / "models" / name)
    monkeypatch.setattr(places, "MODELS", tmp_path / "models")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "models"


def test_a_model_of_the_program_is_found_by_its_name(models):
    assert model_names() == ["apple2orange", "horse2zebra"]
    assert find_bundle("horse2zebra") == models / "horse2zebra"


def test_a_folder_of_images_does_not_hide_the_model_of_its_name(models, tmp_path):
    (tmp_path / "work" / "horse2zebra" / "testA").mkdir(parents=True)
    assert find_bundle("horse2zebra") == models / "horse2zebra"


def test_an_own_model_comes_before_that_of_the_program(models, tmp_path):
    own = shutil.copytree(models / "horse2zebra", tmp_path / "work" / "horse2zebra")
    assert find_bundle("horse2zebra").resolve() == own


def test_a_name_that_is_not_known_gets_the_nearest_one(models):
    with pytest.raises(UsageError) as caught:
        find_bundle("horse2zebr")
    assert str(caught.value) == (
        "There is no model horse2zebr: it is neither a run nor a bundle, and none of the models that come with the"
        " program (apple2orange, horse2zebra) has this name. Did you mean horse2zebra?"
    )
