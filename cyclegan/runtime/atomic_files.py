"""Files that are written completely or not at all."""

import contextlib
import os
import pathlib
import secrets
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

AN_HOUR, A_DAY = 3600.0, 86400.0  # seconds


def write_atomically(path: pathlib.Path, data: bytes) -> None:
    """Writes a temporary file in the same folder, flushes it to disk, and renames it to `path`.

    Args:
        path: the file to create or to replace.
        data: its new content.

    Raises:
        OSError: if the file cannot be written. A file that existed at `path` is then unchanged.
    """
    with open_atomically(path) as file:
        file.write(data)


@contextlib.contextmanager
def open_atomically(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Opens a temporary file in the same folder. At the end of the block it is flushed to disk and renamed to `path`.

    If the block fails, the temporary file is deleted, and a file that existed at `path` is unchanged.

    Args:
        path: the file to create or to replace.

    Raises:
        OSError: if the file cannot be written.
    """
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def temporary_beside(path: pathlib.Path) -> pathlib.Path:
    """A name in the same folder that nobody else uses: `.<digest of the name>.<random digits>.tmp`.

    The number of the process would not do: in each of two containers that share a folder it can be 1.
    """
    # The name is short, so that it is valid even where the name of the target is as long as allowed.
    return path.with_name(f".{_digest(path)}.{secrets.token_hex(8)}.tmp")


def remove_litter_of(*targets: pathlib.Path, min_age: float = A_DAY) -> None:
    """Removes what killed processes have left of files or folders under names of `temporary_beside`."""
    digests: dict[pathlib.Path, set[str]] = {}
    for target in targets:
        digests.setdefault(target.parent, set()).add(_digest(target))
    for folder, of_targets in digests.items():
        _remove([path for path in folder.glob(".*.*.tmp") if path.name.split(".")[1] in of_targets], min_age)


def remove_litter(folder: pathlib.Path, min_age: float, pattern: str = ".*.tmp") -> None:
    """Removes temporary files and folders, but not those of a process that still writes.

    Args:
        folder: where they are.
        min_age: seconds for which nothing was written. A folder counts as written when anything in it was.
        pattern: their names.
    """
    _remove(list(folder.glob(pattern)), min_age)


def _remove(paths: Iterable[pathlib.Path], min_age: float) -> None:
    for path in paths:
        if time.time() - _last_written(path) >= min_age:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):  # another process removes it too, or it belongs to another user
                    path.unlink()


def _digest(path: pathlib.Path) -> str:
    return f"{zlib.crc32(os.fsencode(path.name)):08x}"


def _last_written(path: pathlib.Path) -> float:
    """When a file, or anything in a folder, was written, in seconds; now, if it is gone."""
    inside = (os.path.join(place, name) for place, folders, files in os.walk(path) for name in (*folders, *files))
    try:
        return max(os.lstat(one).st_mtime for one in (str(path), *inside))
    except OSError:  # a live process has just renamed or removed a file
        return time.time()
