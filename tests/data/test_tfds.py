import io
import pathlib
import zipfile

import numpy as np
import pytest
from PIL import Image

from cyclegan.data.listing import SPLITS, list_images
from cyclegan.data.tfds import TFDS_NAMES, has_tfds, prepare_tfds
from cyclegan.errors import CycleganError


def ignore(line: str) -> None:
    """A report that nobody reads."""


def encoded(seed: int) -> bytes:
    """A small JPEG file of noise."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_names_are_those_that_tfds_has() -> None:
    import tensorflow_datasets as tfds

    assert list(TFDS_NAMES) == list(tfds.builder_cls("cycle_gan").builder_configs)


def official_zip(data_dir: pathlib.Path) -> pathlib.Path:
    return data_dir / "tensorflow_datasets/downloads/manual/facades.zip"


def write_small_zip(path: pathlib.Path) -> dict[str, set[bytes]]:
    """A zip as the official ones are laid out; returns the files of each split."""
    splits = {
        split: {encoded(10 * number + index) for index in range(2 + number % 2)} for number, split in enumerate(SPLITS)
    }
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for split, files in splits.items():
            for index, data in enumerate(sorted(files)):
                archive.writestr(f"facades/{split}/{index}_{split[-1]}.jpg", data)
    return splits


def register_checksum(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tells TFDS that a zip is the official one."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import checksums

    of_builder = tfds.builder_cls("cycle_gan").url_infos
    (url,) = (url for url in of_builder if url.endswith("/facades.zip"))
    for url_infos in (of_builder, checksums.get_all_url_infos()):
        monkeypatch.setitem(url_infos, url, checksums.compute_url_info(path))


def test_encoded_files_are_written_from_the_official_zip(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = write_small_zip(official_zip(tmp_path))
    register_checksum(official_zip(tmp_path), monkeypatch)
    folder = prepare_tfds("facades", tmp_path, ignore)
    assert folder == tmp_path / "facades" and has_tfds("facades", tmp_path)
    assert list_images(folder / "trainA") == [folder / f"trainA/{index:05d}.jpg" for index in range(2)]
    for split, files in splits.items():
        assert {path.read_bytes() for path in list_images(folder / split)} == files
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["facades", "tensorflow_datasets"]


def test_existing_folder_is_used_as_it_is(tmp_path: pathlib.Path) -> None:
    (tmp_path / "facades").mkdir()
    assert prepare_tfds("facades", tmp_path, pytest.fail) == tmp_path / "facades"
    assert [path.name for path in tmp_path.rglob("*")] == ["facades"]


def test_records_that_tfds_has_prepared_are_used(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small_zip(official_zip(tmp_path))
    register_checksum(official_zip(tmp_path), monkeypatch)
    moved = prepare_tfds("facades", tmp_path, ignore).rename(tmp_path / "moved")
    official_zip(tmp_path).unlink()
    again = prepare_tfds("facades", tmp_path, pytest.fail)
    assert [path.read_bytes() for path in list_images(again)] == [path.read_bytes() for path in list_images(moved)]


def test_zip_that_is_not_the_official_one_leaves_nothing_behind(tmp_path: pathlib.Path) -> None:
    write_small_zip(official_zip(tmp_path))
    with pytest.raises(CycleganError, match=r"Cannot prepare facades.*wrong checksum.*facades\.zip must be") as e:
        prepare_tfds("facades", tmp_path, ignore)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "facades").exists()
    assert not [path for path in tmp_path.rglob("*") if "tmp" in path.name or "incomplete" in path.name]


def test_unreachable_host_is_reported_with_what_to_do_and_leaves_nothing_behind(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens on port 9 of this machine, so no request gets any further.
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(CycleganError, match="Cannot download maps") as e:
        prepare_tfds("maps", tmp_path, pytest.fail)
    manual_zip = tmp_path / "tensorflow_datasets/downloads/manual/maps.zip"
    assert f"/maps.zip on another machine, copy it to {manual_zip}, and run this command again, or" in str(e.value)
    assert str(e.value).endswith("cyclegan train --dataset DIR") and "\n" not in str(e.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not (tmp_path / "maps").exists()


def test_a_download_of_another_process_is_left_alone(tmp_path: pathlib.Path) -> None:
    write_small_zip(official_zip(tmp_path))
    live = tmp_path / "tensorflow_datasets/downloads/facades/facades.zip.tmp.0123/facades.zip"
    live.parent.mkdir(parents=True)
    live.write_bytes(b"half")
    with pytest.raises(CycleganError, match="wrong checksum"):
        prepare_tfds("facades", tmp_path, ignore)
    assert live.read_bytes() == b"half"
