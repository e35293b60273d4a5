import pytest

from cyclegan.runtime.atomic_files import write_atomically


def test_a_file_is_replaced_completely_and_no_other_file_is_left(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    write_atomically(path, b"new and longer")
    assert path.read_bytes() == b"new and longer"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_no_other_file(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()  # renaming a file to an existing folder fails, after the file was written
    with pytest.raises(OSError):
        write_atomically(path, b"new")
    assert list(tmp_path.iterdir()) == [path]
