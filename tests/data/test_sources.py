import io
import os
import pathlib
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from cyclegan.config.sections import DataConfig
from cyclegan.data.named import NAMED
from cyclegan.data.sources import (
    default_data_dir,
    resolve_source,
    scan_headers,
)
from cyclegan.data.stripes import stripes_folder
from cyclegan.errors import CycleganError, UsageError


def encoded(seed: int, suffix: str = "jpg", size: tuple[int, int] = (16, 12)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG" if suffix == "jpg" else suffix)
    return buffer.getvalue()


def write(path: pathlib.Path, data: bytes = b"never read") -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def resolve(data_dir: pathlib.Path, **keys: object):
    return resolve_source(DataConfig(**keys), data_dir, lambda line: None)


@pytest.fixture
def two_domains(tmp_path: pathlib.Path) -> dict[str, str]:
    for domain, count in (("a", 40), ("b", 25)):
        for index in range(count):
            write(tmp_path / domain / f"{index:02d}.png")
    return {"domain_a": str(tmp_path / "a"), "domain_b": str(tmp_path / "b")}


def test_data_dir_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("CYCLEGAN_DATA_DIR", "~/sets")
    assert default_data_dir() == pathlib.Path("/home/me/sets")
    monkeypatch.setenv("CYCLEGAN_DATA_DIR", "")
    assert default_data_dir() == pathlib.Path("/home/me/.cache/cyclegan")


def test_folder_gives_its_images_sorted_nested_ones_included(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "set"
    a2, a1 = write(folder / "trainA/b.PNG"), write(folder / "trainA/a/9.jpg")
    b = write(folder / "trainB/x.tiff")
    test_b = write(folder / "testB/y.gif")
    write(folder / "trainA/notes.txt")
    source = resolve(tmp_path, dataset=str(folder))
    assert source == ("set", (a1, a2), (b,), (), (test_b,), folder, (), ())


@pytest.mark.parametrize("missing", ["trainA", "trainB"])
def test_folder_without_a_training_folder_is_refused(tmp_path: pathlib.Path, missing: str) -> None:
    for split in {"trainA", "trainB", "extra"} - {missing}:
        write(tmp_path / "set" / split / "1.png")
    with pytest.raises(UsageError, match=r"set must hold trainA and trainB.*Received: extra, train[AB]\.$"):
        resolve(tmp_path, dataset=str(tmp_path / "set"))


def test_domain_without_images_names_folder_and_formats(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "set/trainA/1.png")
    write(tmp_path / "set/trainB/1.pdf")
    with pytest.raises(UsageError, match=r"trainB holds no images\. Formats looked for: \.bmp .*\.webp\.$"):
        resolve(tmp_path, dataset=str(tmp_path / "set"))


def test_file_in_place_of_a_folder_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match=r"set.zip is not a folder\. A folder must hold trainA"):
        resolve(tmp_path, dataset=str(write(tmp_path / "set.zip")))


@pytest.mark.parametrize("folder", ["./nothing/here", "stripes/"])
def test_missing_folder_is_refused_without_the_list_of_data_sets(tmp_path: pathlib.Path, folder: str) -> None:
    with pytest.raises(UsageError, match=r"^The folder .* does not exist\. A folder must hold trainA") as e:
        resolve(tmp_path, dataset=folder)
    assert "horse2zebra" not in str(e.value)


def test_unknown_name_is_refused_with_the_nearest(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match="`horse2zbra`.*Did you mean `horse2zebra`.*A folder must hold trainA") as e:
        resolve(tmp_path, dataset="horse2zbra")
    assert f"The data sets are {', '.join(NAMED)}." in str(e.value) and "\n" not in str(e.value)


def test_name_stands_for_the_data_set_where_a_folder_is_called_alike(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("data/maps", "here/maps"):
        write(tmp_path / place / "trainA/1.jpg")
        write(tmp_path / place / "trainB/1.jpg")
    monkeypatch.chdir(tmp_path / "here")
    lines: list[str] = []
    source = resolve_source(DataConfig(dataset="maps"), tmp_path / "data", lines.append)
    assert source.folder == tmp_path / "data/maps"
    assert len(lines) == 1 and "./maps" in lines[0]
    assert resolve(tmp_path / "data", dataset="./maps").folder == pathlib.Path("maps")


def test_two_folders_are_split_by_the_digest_of_the_name(tmp_path: pathlib.Path) -> None:
    # The digests begin with 0f, c6, 87 and 50.
    for name in ("0.png", "3.png", "sub/1.png", "sub/8.png"):
        write(tmp_path / "a" / name)
        write(tmp_path / "b" / name)
    folders = {"domain_a": str(tmp_path / "a"), "domain_b": str(tmp_path / "b")}
    source = resolve(tmp_path, **folders, test_fraction=0.5)
    for folder, train, test in (("a", source.train_a, source.test_a), ("b", source.train_b, source.test_b)):
        assert train == (tmp_path / folder / "3.png", tmp_path / folder / "sub/1.png")
        assert test == (tmp_path / folder / "0.png", tmp_path / folder / "sub/8.png")
    assert (source.name, source.folder) == ("a2b", None)


@pytest.mark.parametrize(("fraction", "num_a", "num_b"), [(0.0, 0, 0), (0.1, 4, 2), (0.99, 39, 24)])
def test_split_keeps_the_fraction_for_testing_and_one_for_training(
    tmp_path: pathlib.Path, two_domains: dict[str, str], fraction: float, num_a: int, num_b: int
) -> None:
    source = resolve(tmp_path, **two_domains, test_fraction=fraction)
    assert (len(source.test_a), len(source.test_b)) == (num_a, num_b)
    assert (len(source.train_a), len(source.train_b)) == (40 - num_a, 25 - num_b)
    assert not set(source.train_a) & set(source.test_a)


def test_added_file_moves_at_most_one_other(tmp_path: pathlib.Path, two_domains: dict[str, str]) -> None:
    before = set(resolve(tmp_path, **two_domains).test_a)
    new = write(tmp_path / "a/new.png")
    assert len(set(resolve(tmp_path, **two_domains).test_a) - {new} ^ before) <= 1


@pytest.mark.parametrize("inner", ["a", "a/deeper", "b/../a"])
def test_domains_that_share_files_are_refused(tmp_path: pathlib.Path, inner: str) -> None:
    write(tmp_path / "a/deeper/1.png")
    (tmp_path / "b").mkdir()
    outer, inner = str(tmp_path / "a"), str(tmp_path / inner)
    for domain_a, domain_b in ((outer, inner), (inner, outer)):
        with pytest.raises(UsageError, match="neither inside the other"):
            resolve(tmp_path, domain_a=domain_a, domain_b=domain_b)


def test_missing_domain_is_refused(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "a/1.png")
    with pytest.raises(UsageError, match="nowhere"):
        resolve(tmp_path, domain_a=str(tmp_path / "a"), domain_b=str(tmp_path / "nowhere"))


def broken_set(tmp_path: pathlib.Path) -> pathlib.Path:
    """Three good images and one bad one in trainA, one over-large image in testB."""
    folder = tmp_path / "set"
    for index in range(3):
        write(folder / f"trainA/{index}.jpg", encoded(index))
    write(folder / "trainA/bad.jpg", b"")
    write(folder / "trainB/0.png", encoded(4, "png"))
    write(folder / "testB/0.png", encoded(5, "png", size=(40, 30)))
    return folder


def test_scan_leaves_out_bad_images_and_reports_each(tmp_path: pathlib.Path) -> None:
    folder = broken_set(tmp_path)
    lines: list[str] = []
    source = resolve(tmp_path, dataset=str(folder))
    scanned = scan_headers(source, max_pixels=1000, max_bad_images=2, report=lines.append)
    assert scanned == source._replace(train_a=source.train_a[:3], test_b=())
    assert len(lines) == 2
    assert str(folder / "trainA/bad.jpg") in lines[0] and "empty" in lines[0]
    assert str(folder / "testB/0.png") in lines[1] and "40 x 30" in lines[1]


def test_scan_with_more_bad_images_than_allowed_fails(tmp_path: pathlib.Path) -> None:
    folder = broken_set(tmp_path)
    source = resolve(tmp_path, dataset=str(folder))
    with pytest.raises(CycleganError, match="^2 images cannot be used.*allows only 1.*trainA/bad.jpg") as e:
        scan_headers(source, max_pixels=1000, max_bad_images=1, report=pytest.fail)
    assert f"cyclegan data check {folder}`" in str(e.value) and "\n" not in str(e.value)


def test_scan_that_leaves_a_domain_empty_fails(tmp_path: pathlib.Path) -> None:
    folder = broken_set(tmp_path)
    write(folder / "trainB/0.png", b"no image")
    source = resolve(tmp_path, dataset=str(folder))
    with pytest.raises(CycleganError, match="of domain B can be used.*trainB/0.png"):
        scan_headers(source, max_pixels=10_000, max_bad_images=10, report=lambda line: None)


def test_scan_needs_little_memory_for_each_file(tmp_path: pathlib.Path) -> None:
    image = write(tmp_path / "set/trainB/0.png", encoded(0, "png"))
    (tmp_path / "set/trainA").mkdir()
    for index in range(4000):
        os.link(image, tmp_path / f"set/trainA/{index}.png")
    source = resolve(tmp_path, dataset=str(tmp_path / "set"))
    tracemalloc.start()
    scan_headers(source, max_pixels=1000, max_bad_images=0, report=pytest.fail)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4000 * 1000  # most of it is the text of the paths


def test_scan_remembers_the_good_files_of_a_folder(tmp_path: pathlib.Path) -> None:
    folder = broken_set(tmp_path)
    (folder / "trainA/bad.jpg").unlink()
    source = resolve(tmp_path, dataset=str(folder))
    for _ in range(2):
        assert scan_headers(source, 2000, 0, pytest.fail, cache_dir=tmp_path / "cache") == source
        for path in source.train_a + source.train_b + source.test_b:
            status = path.stat()
            path.write_bytes(bytes(status.st_size))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(CycleganError, match="^5 images cannot be used"):
        scan_headers(source, 2000, 0, pytest.fail)


def test_stripes_are_the_default_and_come_with_their_truth(drawn_stripes: tuple[pathlib.Path, list[str]]) -> None:
    source = resolve_source(DataConfig(), drawn_stripes[0], pytest.fail)
    assert source.name == "stripes"
    assert (len(source.train_a), len(source.train_b)) == (500, 500)
    assert source.folder is not None and (source.folder / "truth").is_dir()


def test_drawing_is_reported_in_one_line(drawn_stripes: tuple[pathlib.Path, list[str]]) -> None:
    data_dir, lines = drawn_stripes
    assert lines == [f"Drawing the data set stripes into {stripes_folder(data_dir)}."]
