import numpy as np
import pytest

from cyclegan.runtime.array_files import read_arrays, write_arrays


def test_arrays_come_back_with_their_types(tmp_path):
    size = write_arrays(tmp_path / "a.npz", one=np.arange(3, dtype=np.uint16), two=np.array(7))
    assert size == (tmp_path / "a.npz").stat().st_size
    arrays = read_arrays(tmp_path / "a.npz")
    assert arrays is not None and arrays.keys() == {"one", "two"}
    assert arrays["one"].dtype == np.uint16 and arrays["one"].tolist() == [0, 1, 2] and arrays["two"] == 7


def test_a_file_that_is_not_there_is_none(tmp_path):
    assert read_arrays(tmp_path / "a.npz") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other", "pickled"])
def test_a_damaged_file_is_removed(tmp_path, damage):
    path = tmp_path / "a.npz"
    write_arrays(path, values=np.arange(1000))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"cut": data[:-40], "flipped": data, "empty": b"", "other": b"not a zip file"}.get(damage, b""))
    if damage == "pickled":
        np.savez(path, values=np.array([object()], dtype=object))
    assert read_arrays(path) is None
    assert not path.exists()


def test_what_cannot_be_read_is_kept(tmp_path):
    (tmp_path / "a.npz").mkdir()
    assert read_arrays(tmp_path / "a.npz") is None
    assert (tmp_path / "a.npz").is_dir()
