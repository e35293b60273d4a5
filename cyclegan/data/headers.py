"""Image files as far as their header: format, size, depth, and what is wrong with them.

A file is recognised by its first bytes and not by its name. Its size is checked before any pixel is decoded.
"""

import dataclasses
import errno
import io
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from cyclegan.errors import CycleganError

BadKind = Literal["unreadable", "truncated", "over-large"]
MAX_PIXELS = 100_000_000  # 10,000 x 10,000: 1.2 GB as float32 RGB

# The readers are called directly. Image.open has its own, global limit on the size, and it would try every format
# that Pillow knows.
_READERS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (rb"\xff\xd8\xff", JpegImageFile),
    (rb"\x89PNG\r\n\x1a\n", PngImageFile),
    (rb"GIF8[79]a", GifImageFile),
    (rb"RIFF.{4}WEBP", WebPImageFile),
    (rb"II[*+]\0|MM\0[*+]", TiffImageFile),
    (rb"BM", BmpImageFile),
)

# The readers of GIF and of rotated TIFF check the global limit even so. `max_pixels` makes its warning needless.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_ORIENTATION, _BITS_PER_SAMPLE, _PLANAR_CONFIGURATION = 0x0112, 258, 284


# Other errors of the system, such as a failing disk or too many open files, say nothing about the file.
_ERRORS_OF_THE_FILE = {
    errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EPERM, errno.ENXIO,
}  # fmt: skip


class ReadFailure(CycleganError):
    """An image file that could not be read. If it is not a `BadImage`, the file itself may be good.

    Attributes:
        path: the file; None if only its bytes were given.
        reason: what is wrong, in one line without the path.
        kind: "unreadable", "truncated" or "over-large".
    """

    def __init__(self, path: Path | None, reason: str, kind: BadKind = "unreadable"):
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason
        self.kind = kind


class BadImage(ReadFailure):
    """An image file that cannot be used, because of what it is."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What the header of an image file says.

    Attributes:
        width: width in pixels, after the EXIF rotation.
        height: height in pixels, after the EXIF rotation.
        mode: Pillow's name for the kind of pixels, such as "RGB", "L" or "I;16".
        bits: bits of a channel in the file: 1, 8, 12, 16 or 32. Depths of 2 to 7 bits count as 8.
        has_frames: whether more frames or pages follow the first one; only `read_header` looks for them.
    """

    width: int
    height: int
    mode: str
    bits: int
    has_frames: bool = False


def read_header(path: Path, max_pixels: int = MAX_PIXELS) -> Header:
    """Size and depth of an image file, without decoding it.

    Raises:
        BadImage: if the file cannot be read, is empty, is not an image, or has more than `max_pixels` pixels.
        ReadFailure: if the system fails to read it, for example because of its disk.
    """
    with opened(path, max_pixels) as (image, header):
        return dataclasses.replace(header, has_frames=_has_frames(image))


@contextmanager
def opened(source: Path | bytes, max_pixels: int) -> Iterator[tuple[ImageFile, Header]]:
    """Opens an image without decoding it. Any exception that is raised while it is open becomes `BadImage`.

    These are the exceptions: MemoryError stays what it is, and an error of the system that says nothing about the file
    becomes a `ReadFailure`.
    """
    try:
        if not isinstance(source, bytes) and not stat.S_ISREG(source.stat().st_mode):
            raise BadImage(None, "it is not a regular file")  # reading from a pipe might never end
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
            start = file.read(32)
            length = file.seek(0, os.SEEK_END)
            file.seek(0)
            image = _reader(start, length)(file)
            width, height = image.size
            if width * height > max_pixels:
                reason = f"it has {width} x {height} pixels, and at most {max_pixels:,} are allowed"
                raise BadImage(None, reason, "over-large")
            if orientation_of(image) >= 5:
                width, height = height, width
            yield image, Header(width, height, image.mode, _bits(image, start))
    except MemoryError:
        raise
    except Exception as error:  # damaged files make Pillow raise exceptions of nearly every type
        raise _failure(None if isinstance(source, bytes) else source, error) from error


def _reader(start: bytes, length: int) -> type[ImageFile]:
    if not start:
        raise BadImage(None, "the file is empty")
    for pattern, reader in _READERS:
        if re.match(pattern, start, re.DOTALL):
            # Pillow does not notice that a WebP file is cut short, but the file states its own length.
            if reader is WebPImageFile and length < 8 + int.from_bytes(start[4:8], "little"):
                raise BadImage(None, "the file is truncated", "truncated")
            return reader
    raise BadImage(None, f"it is not a BMP, GIF, JPEG, PNG, TIFF or WebP image: it starts with {_in_words(start[:16])}")


def _in_words(start: bytes) -> str:
    text = " ".join(start.decode("ascii", "replace").split())
    return f'the text "{text}"' if text and text.isascii() and text.isprintable() else f"the bytes {start.hex(' ')}"


def _failure(path: Path | None, error: Exception) -> ReadFailure:
    if isinstance(error, BadImage):
        return BadImage(path, error.reason, error.kind)
    if isinstance(error, OSError) and error.errno:
        kind = BadImage if error.errno in _ERRORS_OF_THE_FILE else ReadFailure
        return kind(path, f"it cannot be read: {error.strerror}")
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return BadImage(path, str(error), "over-large")
    if "truncated" in str(error).lower():
        return BadImage(path, "the file is truncated", "truncated")
    text = " ".join(str(error).split())
    return BadImage(path, f"it is damaged or of an unsupported kind: {text or type(error).__name__}")


def orientation_of(image: ImageFile) -> int:
    """The EXIF orientation that is still to be applied, 1 to 8."""
    if isinstance(image, TiffImageFile):
        return 1  # Pillow rotates TIFF itself, also the size in the header
    try:
        # Not image.getexif(): for PNG it decodes the image, to find EXIF data after the pixels.
        orientation = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # the pixels can be good even if the EXIF data is damaged
        return 1
    return orientation if orientation in range(1, 9) else 1


def _has_frames(image: ImageFile) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # the first frame can be good even if there is damage after it
        return True


def _bits(image: ImageFile, start: bytes) -> int:
    if image.mode == "1":
        return 1
    if isinstance(image, PngImageFile):
        return max(8, start[24])
    if isinstance(image, TiffImageFile) and image.mode not in ("P", "PA"):
        bits: int = max(8, *image.tag_v2.get(_BITS_PER_SAMPLE, (8,)))
        if bits > 8 and len(image.getbands()) > 1 and image.tag_v2.get(_PLANAR_CONFIGURATION) == 2:
            raise ValueError("it has 16-bit colours in separate planes")  # Pillow would return noise
        return bits
    return 8
