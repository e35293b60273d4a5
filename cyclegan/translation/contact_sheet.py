"""A contact sheet: one picture that shows a selection of images and their translations."""

import io
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cyclegan.data.decoding import read_image_and_alpha
from cyclegan.data.headers import ReadFailure, opened
from cyclegan.runtime.atomic_files import write_atomically
from cyclegan.translation.gallery import LABELS, Entry

_SOFTWARE = 0x0131  # the tag of Exif that names the program which made a picture
_MARKER = "cyclegan contact sheet"
Planes = tuple[np.ndarray, np.ndarray | None]
"""The colours and the alpha of an image, see `read_image_and_alpha`."""

_GAP = 4  # between the tiles of a contact sheet, in pixels
_MARGIN = 24  # around and between its groups


def contact_sheet(
    entries: Sequence[Entry],
    *,
    read: Callable[[Path], Planes] = lambda path: read_image_and_alpha(path, 3, None, sys.maxsize),
    tile_size: int = 192,
    max_rows: int = 24,
) -> Image.Image:
    """One picture with rows of input, output and way back, side by side in groups that make it about square.

    Args:
        entries: at least one entry. If any shown entry has a way back, all rows have a place for it.
        read: reads the colours of a file, float32 [height, width, 3] in [-1, 1] from black to white, and its alpha,
            [height, width, 1], or None.
        tile_size: the width and height in pixels of the square that each picture is fitted into. Smaller pictures are
            enlarged. Transparent parts are shown on white.
        max_rows: the largest number of entries. If there are more, they are selected at equal distances, from the
            first to the last.

    Returns:
        A picture in RGB.

    Raises:
        BadImage: if a picture cannot be read.
    """
    num_rows = min(len(entries), max_rows)
    chosen = [entries[round(i)] for i in np.linspace(0, len(entries) - 1, num_rows)]
    columns = 3 if any(entry.cycled for entry in chosen) else 2
    height = math.ceil(num_rows / math.ceil(math.sqrt(num_rows / columns)))
    num_groups = math.ceil(num_rows / height)

    step = tile_size + _GAP
    group_width = columns * step - _GAP
    font_size = max(8, min(14, tile_size // 8))
    font = ImageFont.load_default(font_size)
    header = 2 * font_size
    size = (num_groups * (group_width + _MARGIN) + _MARGIN, header + height * step - _GAP + 2 * _MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for group in range(num_groups):
        left = _MARGIN + group * (group_width + _MARGIN)
        for column, label in enumerate(LABELS[:columns]):
            draw.text((left + column * step, _MARGIN), label, fill="dimgray", font=font)
        for row, entry in enumerate(chosen[group * height : (group + 1) * height]):
            for column, path in enumerate(entry[1:]):
                if path:
                    tile = _tile(read(path), tile_size)
                    sheet.paste(tile, (left + column * step, _MARGIN + header + row * step))
    return sheet


def write_contact_sheet(path: Path, sheet: Image.Image, file_format: str) -> None:
    """Writes a contact sheet with a mark by which `is_contact_sheet` knows it.

    Args:
        path: the file; its folder is made.
        sheet: the picture.
        file_format: "png", "jpeg" or "webp".

    Raises:
        OSError: if the file cannot be written.
        ValueError: if the picture is too large for the format.
    """
    exif = Image.Exif()
    exif[_SOFTWARE] = _MARKER
    buffer = io.BytesIO()
    sheet.save(buffer, file_format, exif=exif)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


def is_contact_sheet(path: Path) -> bool:
    """Whether a file is a contact sheet that `write_contact_sheet` has written, which may be replaced."""
    try:
        with opened(path, sys.maxsize) as (image, _):
            return image.getexif().get(_SOFTWARE) == _MARKER
    except ReadFailure:
        return False


def _tile(planes: Planes, size: int) -> Image.Image:
    """A picture fitted into the middle of a white square."""
    values = np.concatenate([plane for plane in planes if plane is not None], axis=-1)
    pixels = np.rint((values + 1) * 127.5).astype(np.uint8)
    picture = Image.fromarray(pixels).convert("RGBA")
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    # Enlarged pixels are shown as squares, as in the viewer.
    resampling = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    picture = picture.resize((width, height), resampling, reducing_gap=3.0)
    tile = Image.new("RGBA", (size, size), "white")
    tile.alpha_composite(picture, ((size - width) // 2, (size - height) // 2))
    return tile.convert("RGB")
