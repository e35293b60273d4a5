import pathlib
import struct
import zlib
from collections.abc import Callable

import pytest

from cyclegan.config.sections import DataConfig
from cyclegan.data.sources import resolve_source


@pytest.fixture(scope="session")
def drawn_stripes(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, list[str]]:
    """A data directory with the whole built-in data set, and what was reported while it was drawn."""
    data_dir = tmp_path_factory.mktemp("data") / "new"
    lines: list[str] = []
    resolve_source(DataConfig(dataset="stripes"), data_dir, lines.append)
    return data_dir, lines


@pytest.fixture
def png() -> Callable[..., bytes]:
    """Makes PNG files from raw rows: Pillow does not write 16-bit colour, or sizes that the rows do not have."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    def png(width: int, height: int, bits: int, colour_type: int, rows: list[bytes]) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
        pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")

    return png
