"""Pages for a browser that show images and their translations.

The pages need neither a server nor a network. Their HTML contains everything that they show, and the viewer reads it
from there. The layout and the viewer are in `gallery.html`.
"""

import html
import math
import os
import re
import sys
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cyclegan.data.headers import read_header
from cyclegan.errors import UsageError
from cyclegan.runtime.atomic_files import write_atomically

PAGE_SIZE = 60
LABELS = ("Input", "Output", "Way back")

# Each page contains this marker, so that no other page is replaced or removed.
_MARKER = b"<!-- cyclegan gallery -->"
_TEMPLATE = Path(__file__).with_name("gallery.html")


class Entry(NamedTuple):
    """One image and what became of it.

    Attributes:
        name: the name to show, such as "x/horse.jpg".
        input: a picture of the input that browsers can show: upright, in sRGB, and smaller if the input is too large
            for the format of the picture.
        output: the translation, of the size of the input.
        cycled: the translation back to the domain of the input, of the same size; None: it is not shown.
    """

    name: str
    input: Path
    output: Path
    cycled: Path | None


def write_gallery(folder: Path, entries: Sequence[Entry], *, title: str, page_size: int = PAGE_SIZE) -> Path:
    """Writes pages that show entries and compare their pictures: index.html, index-2.html and so on.

    Pages of an earlier gallery are replaced. They are removed if there are fewer pages now.

    Args:
        folder: the folder for the pages. All pictures must lie below it. The pages contain paths relative to it, so
            the folder can be moved.
        entries: the entries, in the order in which they are shown.
        title: the title of the pages.
        page_size: the number of entries on a page.

    Returns:
        The first page.

    Raises:
        UsageError: if a page would replace a file that is not a page of a gallery. Nothing is written then.
        BadImage: if an input cannot be read.
        OSError: if a page cannot be written.
    """
    refuse_foreign_pages(folder, len(entries), page_size)
    pages = _pages(folder, len(entries), page_size)
    template = _TEMPLATE.read_text(encoding="utf-8")
    # The last page comes first, so that no link leads to a page that does not exist yet.
    for number in range(len(pages), 0, -1):
        start = (number - 1) * page_size
        shown = entries[start : start + page_size]
        values = {
            "title": html.escape(title),
            "columns": str(3 if any(entry.cycled for entry in entries) else 2),
            "total": str(len(entries)),
            "subtitle": _subtitle(entries),
            "pager": _pager(number, len(pages), f"{_range(start + 1, start + len(shown))} of {len(entries)}"),
            "entries": "\n".join(_figure(folder, entry, start + i) for i, entry in enumerate(shown, start=1)),
        }
        # Names of files need not be valid Unicode.
        write_atomically(pages[number - 1], _fill(template, values).encode("utf-8", "replace"))

    for path in folder.glob("index-*.html"):
        number_of_it = re.fullmatch(r"index-([1-9]\d*)\.html", path.name)
        if number_of_it and int(number_of_it[1]) > len(pages) and _is_ours(path):
            path.unlink()
    return pages[0]


def refuse_foreign_pages(folder: Path, num_entries: int, page_size: int = PAGE_SIZE) -> None:
    """Makes sure that a gallery may be written into a folder, before the work starts.

    Raises:
        UsageError: if one of its pages would replace a file that is not a page of a gallery.
    """
    for page in _pages(folder, num_entries, page_size):
        if page.exists() and not _is_ours(page):
            raise UsageError(
                f"{page} exists and is not a page of a gallery. Move this file, or choose another output folder."
            )


def _pages(folder: Path, num_entries: int, page_size: int) -> list[Path]:
    return [folder / _page_name(number) for number in range(1, max(1, math.ceil(num_entries / page_size)) + 1)]


def _page_name(number: int) -> str:
    return "index.html" if number == 1 else f"index-{number}.html"


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Fills in all values at once, so that a name which looks like a placeholder is not changed."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _subtitle(entries: Sequence[Entry]) -> str:
    if not entries:
        return "No images"
    shown = "Input, output and way back" if any(entry.cycled for entry in entries) else "Input and output"
    return f"{shown} of {len(entries):,} image{'s' if len(entries) > 1 else ''}"


def _is_ours(page: Path) -> bool:
    with page.open("rb") as file:
        return _MARKER in file.read(200)


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"


def _pager(number: int, num_pages: int, text: str) -> str:
    """Links to the other pages; empty if there is only one page."""
    if num_pages == 1:
        return ""

    def link(target: int, label: str, sign: str, rel: str = "") -> str:
        exists = 1 <= target <= num_pages and target != number
        href = f' href="{_page_name(target)}"' if exists else ' role="link" aria-disabled="true"'
        return f'<a{href}{rel} title="{label}" aria-label="{label}">{sign}</a>'

    return "".join(
        [
            '<nav class="pager" aria-label="Pages">',
            link(1, "First page", "«"),
            link(number - 1, "Previous page", "‹", ' rel="prev"'),
            f"<span>{text}</span>",
            link(number + 1, "Next page", "›", ' rel="next"'),
            link(num_pages, "Last page", "»"),
            "</nav>",
        ]
    )


def _figure(folder: Path, entry: Entry, number: int) -> str:
    """The link that opens an entry in the viewer. The viewer reads the pictures and their size from it."""
    header = read_header(entry.output, max_pixels=sys.maxsize)  # not of the input, whose picture may be smaller
    pictures = "".join(
        f'<span><img src="{_url(folder, path)}" width="{header.width}" height="{header.height}" alt="{label}"'
        ' loading="lazy" decoding="async"></span>'
        for label, path in zip(LABELS, entry[1:], strict=True)
        if path
    )
    name = html.escape(entry.name)
    ratio = header.width / header.height
    return (
        f'<a class="entry" href="#{number}" style="--ratio:{ratio:.4f}"><span class="pictures">{pictures}</span>'
        f'<span class="name" title="{name}">{name}</span></a>'
    )


def _url(folder: Path, path: Path) -> str:
    """The URL of a file relative to `folder`, safe in an attribute. Bytes that are not valid UTF-8 are kept."""
    relative = path.absolute().relative_to(folder.absolute())
    return urllib.parse.quote(os.fsencode(relative.as_posix()))
