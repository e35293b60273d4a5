import os
import time

import pytest

from cyclegan.runtime.atomic_files import (
    open_atomically,
    remove_litter,
    remove_litter_of,
    temporary_beside,
    write_atomically,
)


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


def test_two_processes_of_one_number_write_the_same_file_one_after_the_other(tmp_path):
    """Two blocks in one process have one number, as two containers do."""
    with open_atomically(tmp_path / "file") as first:
        first.write(b"first")
        with open_atomically(tmp_path / "file") as second:
            second.write(b"second")
        assert (tmp_path / "file").read_bytes() == b"second"
    assert (tmp_path / "file").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_temporary_name_is_valid_beside_the_longest_name(tmp_path):
    temporary_beside(tmp_path / ("n" * 255)).mkdir()


def test_litter_is_what_nobody_has_written_for_so_long(tmp_path):
    old, live = tmp_path / ".old.tmp", tmp_path / ".live.tmp"
    for folder in (old, live):
        folder.mkdir()
        (folder / "image").write_bytes(b"")
        os.utime(folder, (time.time() - 100,) * 2)
    os.utime(old / "image", (time.time() - 100,) * 2)
    (tmp_path / "file").write_bytes(b"")
    remove_litter(tmp_path, min_age=60)
    assert {path.name for path in tmp_path.iterdir()} == {".live.tmp", "file"}


def test_litter_of_some_files_is_removed_and_that_of_others_stays(tmp_path):
    mine, others = ([temporary_beside(tmp_path / name) for name in names] for names in (("a.png", "b.png"), ("c.png",)))
    for path in (*mine, *others):
        path.write_bytes(b"")
    remove_litter_of(tmp_path / "a.png", tmp_path / "b.png", min_age=0)
    assert list(tmp_path.iterdir()) == others
