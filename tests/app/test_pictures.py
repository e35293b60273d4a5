import zipfile

import numpy as np
import pytest
from PIL import Image

from cyclegan.app.pictures import ARCHIVE, translate_pictures
from cyclegan.bundles.bundle import Bundle
from cyclegan.errors import CycleganError, UsageError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, make_bundle):
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def dropped(tmp_path):
    """A function that puts a picture where a browser's file arrives: in a folder of its own."""

    def drop(name, size=(40, 32), data=None):
        folder = tmp_path / f"{len(list(tmp_path.iterdir())):064x}"
        folder.mkdir()
        Image.effect_noise(size, 60).convert("RGB").save(folder / name) if data is None else (
            folder / name
        ).write_bytes(data)
        return folder / name

    return drop


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_one_picture_is_shown_with_its_translation_and_the_way_back(bundle, dropped, tmp_path):
    picture = dropped("horse.png")
    shown = translate_pictures(bundle, "ab", [picture], tmp_path / "out")
    (entry,) = shown.entries
    sizes = [size_of(path) for path in (entry.input, entry.output, entry.cycled)]
    assert entry.name == "horse.png" and sizes == [(40, 32)] * 3
    assert shown.files == [entry.output] and shown.lines == []
    with Image.open(picture) as image:
        levels = (bundle.generator("ab")(np.asarray(image, np.float32)[None] / 127.5 - 1)[0].numpy() + 1) * 127.5
    with Image.open(entry.output) as image:
        assert np.abs(np.asarray(image, np.float32) - levels).max() <= 1


def test_several_pictures_are_downloaded_as_one_file(bundle, dropped, tmp_path):
    pictures = [dropped("a.png"), dropped("b.png", (48, 36)), dropped("a.png")]
    shown = translate_pictures(bundle, "ba", pictures, tmp_path / "out")
    assert [entry.name for entry in shown.entries] == ["a.png", "b.png", "a-2.png"]
    (archive,) = shown.files
    with zipfile.ZipFile(archive) as file:
        assert archive.name == ARCHIVE and file.namelist() == ["a.png", "b.png", "a-2.png"] and file.testzip() is None


def test_a_picture_that_cannot_be_read_is_named_and_costs_no_other(bundle, dropped, tmp_path):
    broken = dropped("broken.jpg", data=b"not an image")
    shown = translate_pictures(bundle, "ab", [broken, dropped("good.png")], tmp_path / "out")
    assert [entry.name for entry in shown.entries] == ["good.png"]
    (line,) = shown.lines
    assert line.startswith("broken.jpg: ") and str(tmp_path) not in line


def test_a_model_of_one_direction_is_named(bundle, dropped, tmp_path):
    info = bundle.info.model_copy(update={"weights": {"ab": bundle.info.weights["ab"]}})
    with pytest.raises(UsageError, match="must be one of ab"):
        translate_pictures(Bundle(bundle.folder, info), "ba", [dropped("horse.png")], tmp_path / "out")


def test_notes_speak_of_nothing_that_the_visitor_cannot_see(bundle, dropped, tmp_path):
    frames = [Image.effect_noise((40, 32), spread).convert("P") for spread in (20, 60)]
    picture = tmp_path / "moving.gif"
    frames[0].save(picture, save_all=True, append_images=frames[1:])
    shown = translate_pictures(bundle, "ab", [picture], tmp_path / "out")
    (line,) = shown.lines
    assert line.startswith("moving.gif: ") and "report.json" not in line
    assert not (tmp_path / "out" / "given").exists()


def test_a_picture_that_has_gone_is_an_error_and_no_traceback(bundle, tmp_path):
    with pytest.raises(CycleganError, match=r"The pictures cannot be kept in .*: No such file or directory"):
        translate_pictures(bundle, "ab", [tmp_path / "gone.png"], tmp_path / "out")
