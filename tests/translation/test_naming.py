from pathlib import Path

import pytest

from cyclegan.errors import UsageError
from cyclegan.translation.naming import name_files


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """Files without content: nothing is read."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.PNG", "x/a.JPEG", "x/c.bmp", "x/y/d.webp", "x/notes.txt", ".hidden/e.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Path("photos")


def outputs(inputs, output="out", **options):
    naming = name_files([Path(path) for path in inputs], Path(output), **options)
    return {job.name: job.output.as_posix() for job in naming.jobs}


def test_a_folder_is_mirrored(photos):
    assert outputs([photos]) == {
        "a.jpg": "out/a.png",
        "b.PNG": "out/b.png",
        "x/a.JPEG": "out/x/a.png",
        "x/c.bmp": "out/x/c.png",
        "x/y/d.webp": "out/x/y/d.png",
    }


@pytest.mark.parametrize(("file_format", "suffix"), [("png", ".png"), ("jpeg", ".jpg"), ("webp", ".webp")])
def test_a_format_gives_the_suffix(photos, file_format, suffix):
    assert {Path(name).suffix for name in outputs([photos], file_format=file_format).values()} == {suffix}


def test_same_keeps_the_names_of_what_can_be_written_and_makes_png_of_the_rest(photos):
    assert outputs([photos], file_format="same") == {
        "a.jpg": "out/a.jpg",
        "b.PNG": "out/b.PNG",
        "x/a.JPEG": "out/x/a.JPEG",
        "x/c.bmp": "out/x/c.png",
        "x/y/d.webp": "out/x/y/d.webp",
    }


@pytest.mark.parametrize("pattern", ["photos/**/*.[jJ]*", "photos/**/a.*"])
def test_a_pattern_is_mirrored_below_what_its_images_share(photos, pattern):
    assert outputs([pattern]) == {"a.jpg": "out/a.png", "x/a.JPEG": "out/x/a.png"}


def test_a_pattern_takes_images_only_and_not_hidden_ones(photos):
    assert outputs(["photos/x/*"]) == {"a.JPEG": "out/a.png", "c.bmp": "out/c.png"}


def test_several_inputs_as_a_shell_makes_them_of_a_pattern(photos):
    expected = {"a.jpg": "out/a.png", "x/c.bmp": "out/x/c.png", "x/y/d.webp": "out/x/y/d.png"}
    assert outputs(["photos/a.jpg", "photos/x/c.bmp", "photos/x/y", "photos/a.jpg"]) == expected


def test_the_way_back_and_the_pictures_of_a_gallery_lie_beside(photos):
    naming = name_files([photos / "x" / "y"], Path("out"), cycle=True, gallery=True)
    assert [path.as_posix() for path in naming.jobs[0].files] == [
        "out/d.png",
        "out/d.cycled.png",
        "out/gallery/d.webp.webp",
        "out/gallery/d.webp.output.webp",
        "out/gallery/d.webp.cycled.webp",
    ]


def test_a_way_back_never_takes_the_name_of_another_translation(photos):
    (photos / "a.cycled.jpg").touch()
    files = [path for job in name_files([photos], Path("out"), cycle=True).jobs for path in job.files]
    assert len({str(path).casefold() for path in files}) == len(files) == 12
    assert Path("out/a.jpg.cycled.png") in files and Path("out/a.cycled.jpg.png") in files


def test_one_image_becomes_one_file_whose_suffix_says_the_format(photos):
    naming = name_files([photos / "a.jpg"], Path("b.webp"), cycle=True)
    assert (naming.folder, [path.as_posix() for path in naming.jobs[0].files]) == (None, ["b.webp", "b.cycled.webp"])


@pytest.mark.parametrize(
    ("inputs", "output", "options", "message"),
    [
        (["missing"], "out", {}, "does not exist"),
        (["photos/*.tif"], "out", {}, r"matches no images. Looked for .bmp"),
        (["photos/.hidden"], "photos/.hidden/out", {}, "is in the input"),
        (["photos/a.jpg"], "b.tif", {}, r"end in .png .jpg .jpeg .webp"),
        (["photos/a.jpg"], "b.jpg", {"gallery": True}, "the output must be a folder"),
        (["photos/*.jpg"], "photos", {"file_format": "same"}, "would replace the input"),
        (["photos/x", "photos/a.jpg"], "photos/x/out", {}, "is in the input"),
    ],
)
def test_what_cannot_be_is_refused(photos, inputs, output, options, message):
    with pytest.raises(UsageError, match=message):
        outputs(inputs, output, **options)


def test_a_pattern_is_mirrored_below_its_plain_part_whatever_matches(photos):
    assert outputs(["photos/**/*.webp"]) == {"x/y/d.webp": "out/x/y/d.png"}


def test_a_pattern_does_not_take_its_own_output(photos):
    (photos / "out" / "x").mkdir(parents=True)
    (photos / "out" / "x" / "a.jpg").touch()
    assert set(outputs(["photos/**/*.[jJ]*"], "photos/out")) == {"a.jpg", "x/a.JPEG"}


def test_an_image_is_taken_once_by_all_the_ways_to_it(photos):
    (photos / "loop").symlink_to(photos.absolute())
    assert list(outputs(["photos/**/*.jpg", photos, photos.absolute(), "photos/x/../a.jpg"])).count("a.jpg") == 1
    assert len(outputs([photos, photos.absolute()])) == 5


def test_names_that_differ_in_case_alone_are_numbered(photos):
    (photos / "A.jpg").touch()
    (photos / "X").mkdir()
    (photos / "X" / "A.jpeg").touch()
    assert outputs([photos], cycle=True, gallery=True) == {
        "A.jpg": "out/A.jpg.png",
        "X/A.jpeg": "out/X/A.jpeg.png",
        "a.jpg": "out/a.jpg-2.png",
        "b.PNG": "out/b.png",
        "x/a.JPEG": "out/x/a.JPEG-2.png",
        "x/c.bmp": "out/x/c.png",
        "x/y/d.webp": "out/x/y/d.png",
    }


def test_a_translation_never_takes_the_name_of_a_folder(photos):
    (photos / "a.png").mkdir()
    (photos / "a.png" / "b.jpg").touch()
    planned = outputs([photos])
    assert (planned["a.jpg"], planned["a.png/b.jpg"]) == ("out/a.jpg.png", "out/a.png/b.png")


@pytest.mark.parametrize(
    ("inputs", "output", "options"),
    [
        (["photos/x/c.cycled.png"], "photos/x/c.png", {"cycle": True}),
        (["photos/a.jpg", "photos/x/c.bmp"], "photos", {}),
    ],
)
def test_no_image_of_the_input_is_replaced_by_the_translation_of_another(photos, inputs, output, options):
    (photos / "x" / "c.cycled.png").touch()
    (photos / "x" / "c.png").hardlink_to(photos / "x" / "c.bmp")
    with pytest.raises(UsageError, match="would replace the input"):
        outputs(inputs, output, **options)
