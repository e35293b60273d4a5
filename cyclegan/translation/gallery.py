"""Translations to look at: pages for a browser, and one picture with a choice of them.

The pages need neither a server nor a network. All that they show stands in their HTML, from which the viewer reads
it too; the layout and the viewer are in `gallery.html`.
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

from cyclegan.data.decoding import read_header
from cyclegan.errors import UsageError
from cyclegan.runtime.atomic_files import write_atomically

PAGE_SIZE = 60
LABELS = ("Input", "Output", "Way back")

# In each page, so that a page of somebody else is neither replaced nor removed.
_MARKER = b"<!-- cyclegan gallery -->"
_TEMPLATE = Path(__file__).with_name("gallery.html")


class Entry(NamedTuple):
    """One image and what became of it.

    Attributes:
        name: shown, such as "x/horse.jpg".
        input: a picture of the input, upright, sRGB, that a browser can show; smaller where none can hold it.
        output: its translation, of the same size.
        cycled: the translation of that back to the input's domain, of the same size; None: not to be shown.
    """

    name: str
    input: Path
    output: Path
    cycled: Path | None


def write_gallery(folder: Path, entries: Sequence[Entry], *, title: str, page_size: int = PAGE_SIZE) -> Path:
    """Writes pages that show entries and compare their pictures: index.html, index-2.html and so on.

    Pages of an earlier gallery are replaced, and removed where there are now fewer.

    Args:
        folder: where the pages go. All pictures lie below it, and the pages refer to them relative to it, so
            that the folder can be moved.
        entries: in the order to show them.
        title: shown above them.
        page_size: the number of entries on a page.

    Returns:
        The first page.

    Raises:
        UsageError: if a page would replace a file that is no page of a gallery. Nothing is written then.
        BadImage: if an input cannot be read.
        OSError: if a page cannot be written.
    """
    refuse_foreign_pages(folder, len(entries), page_size)
    pages = _pages(folder, len(entries), page_size)
    template = _TEMPLATE.read_text(encoding="utf-8")
    # Backwards: no page leads to one that is not there yet.
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
    """Makes sure that a gallery may be written into a folder, before the work for it is done.

    Raises:
        UsageError: if one of its pages would replace a file that is no page of a gallery.
    """
    for page in _pages(folder, num_entries, page_size):
        if page.exists() and not _is_ours(page):
            raise UsageError(f"{page} is there and no page of a gallery. Move it, or choose another folder.")


def _pages(folder: Path, num_entries: int, page_size: int) -> list[Path]:
    return [folder / _page_name(number) for number in range(1, max(1, math.ceil(num_entries / page_size)) + 1)]


def _page_name(number: int) -> str:
    return "index.html" if number == 1 else f"index-{number}.html"


def _fill(template: str, values: Mapping[str, str]) -> str:
    """All places at once, so that what looks like one within a name is left alone."""
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
    """Links to the other pages; none where there is but one."""
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
    """The link that opens an entry in the viewer, which reads its pictures and their size from here."""
    header = read_header(entry.output, max_pixels=sys.maxsize)  # the picture of a very large input is smaller
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
    """Percent-encoded, relative to `folder`; bytes that are no UTF-8 are kept. Safe in an attribute."""
    relative = path.absolute().relative_to(folder.absolute())
    return urllib.parse.quote(os.fsencode(relative.as_posix()))
