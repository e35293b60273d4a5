"""Caches in NumPy's .npz format: files that may be damaged or missing, and can be made again."""

import io
from pathlib import Path

import numpy as np

from cyclegan.runtime.atomic_files import write_atomically


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file, by their names; None if it cannot be read or is damaged. A damaged file is removed."""
    try:
        # np.load does not close a damaged file that it has opened itself. The zip format has checksums.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return dict(file)
    except (OSError, MemoryError):  # this does not prove that the file is damaged
        return None
    except Exception:  # damaged files make NumPy raise exceptions of nearly every type
        _remove(path)
        return None


def write_arrays(path: Path, **arrays: np.ndarray) -> int:
    """Writes arrays completely or not at all, and returns the size of the file in bytes.

    Raises:
        OSError: if the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes `allow_pickle` for one of the arrays
    write_atomically(path, buffer.getvalue())
    return buffer.tell()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # it stays, and is ignored each time
