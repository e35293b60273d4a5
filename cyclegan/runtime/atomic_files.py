"""Files that are written completely or not at all."""

import contextlib
import os
import pathlib
import zlib
from collections.abc import Iterator
from typing import BinaryIO


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
    # The temporary name is short, so that it is valid even where the name of the target is as long as allowed.
    temporary = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
