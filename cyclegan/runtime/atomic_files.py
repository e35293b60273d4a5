"""Files that appear whole or not at all."""

import os
import pathlib
import zlib


def write_atomically(path: pathlib.Path, data: bytes) -> None:
    """Writes beside the target, flushes, then renames over it.

    Raises:
        OSError: if it cannot be written. What was at `path` is then unchanged.
    """
    # Short, so that it is a name wherever the target's is one.
    temporary = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
