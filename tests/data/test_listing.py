import pytest

from cyclegan.data.listing import list_images
from cyclegan.errors import UsageError


def test_images_are_listed_by_suffix_sorted_and_without_hidden_ones(tmp_path):
    names = ["b.jpg", "a/z.PNG", "a-1.tiff", "a/deep er/ü.webp"]
    others = [".hidden.jpg", ".cache/x.png", "notes.txt", "jpg", "a/._b.jpg"]
    for name in names + others:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    listed = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert listed == ["a-1.tiff", "a/deep er/ü.webp", "a/z.PNG", "b.jpg"]


def test_linked_folders_are_followed_once(tmp_path):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    elsewhere.mkdir()
    folder.mkdir()
    (elsewhere / "x.png").touch()
    (folder / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    assert list_images(folder) == [folder / "link" / "x.png"]


def test_listing_a_missing_folder_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        list_images(tmp_path / "missing")
