import html.parser
import os
import urllib.parse
from pathlib import Path

import pytest

from cyclegan.errors import UsageError
from cyclegan.translation.gallery import write_gallery


class _Page(html.parser.HTMLParser):
    """What a browser makes of a page, as far as it matters here."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}  # by element or class
        self._place = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self._place = dict(attributes).get("class") or tag
        self.text.setdefault(self._place, [])

    def handle_endtag(self, tag: str) -> None:
        self._place = ""

    def handle_data(self, data: str) -> None:
        if self._place:
            self.text[self._place].append(data)

    def urls(self) -> list[str]:
        return [value for _, values in self.elements for key, value in values.items() if key in ("src", "href")]

    def pictures(self) -> list[str]:
        return [values["src"] for tag, values in self.elements if tag == "img" and "src" in values]


def _pages(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.html"))


def _target(folder: Path, url: str) -> Path:
    parts = urllib.parse.urlsplit(url)
    assert not (parts.scheme or parts.netloc or parts.query), url
    return folder / urllib.parse.unquote(parts.path)


AWKWARD = [
    "<b>&\"'#%?.jpg",
    "name with spaces and ünïcødé.jpg",
    "x/</script><script>alert(1)<!--.jpg",
    "{{title}} %41 &amp; \\1 ${total}.jpg",
    "a:b.jpg",
    "line\nbreak\ttab.jpg",
]


def test_names_are_shown_as_they_are_and_their_urls_lead_to_their_files(tmp_path, make_entry):
    names = [name.replace("</script>", "<／script>") for name in AWKWARD]  # no slash in the name of a file
    entries = [make_entry(tmp_path, name)._replace(name=shown) for name, shown in zip(names, AWKWARD, strict=True)]
    page = _Page(write_gallery(tmp_path, entries, title="</title><script>{{pager}}"))

    assert page.text["name"] == AWKWARD
    assert [values["title"] for _, values in page.elements if values.get("class") == "name"] == AWKWARD
    assert page.text["title"] == page.text["h1"] == ["</title><script>{{pager}}"]
    assert [_target(tmp_path, url) for url in page.pictures()] == [path for entry in entries for path in entry[1:]]
    tags = [tag for tag, _ in page.elements]
    assert (tags.count("b"), tags.count("script"), tags.count("img")) == (0, 1, len(entries) * 3 + 2)
    assert not any(char in url for url in page.pictures() for char in "<>\"'&#?\\: \n")


def test_name_that_is_not_unicode_leads_to_its_file(tmp_path, make_entry):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        entry = make_entry(tmp_path, name)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    page = _Page(write_gallery(tmp_path, [entry], title="t"))
    assert page.text["name"] == ["caf?.png"]
    assert page.pictures()[0] == "inputs/caf%E9.png"


def test_pages_refer_to_nothing_but_the_pictures_and_each_other(tmp_path, make_entries):
    write_gallery(tmp_path, make_entries(tmp_path, 5), title="t", page_size=2)
    for name in _pages(tmp_path):
        page = _Page(tmp_path / name)
        for url in page.urls():
            if url != "data:," and not url.startswith("#"):
                assert _target(tmp_path, url).is_file(), url
        source = (tmp_path / name).read_text(encoding="utf-8")
        assert not [word for word in ("http:", "https:", "url(", "@import", "fetch(", "{{") if word in source]


def test_folder_may_be_relative_or_moved(tmp_path, monkeypatch, make_entries):
    entries = make_entries(tmp_path / "a", 1)
    monkeypatch.chdir(tmp_path)
    assert write_gallery(Path("a"), entries, title="t") == Path("a/index.html")
    (tmp_path / "a").rename(tmp_path / "b")
    assert all(_target(tmp_path / "b", url).is_file() for url in _Page(tmp_path / "b" / "index.html").pictures())


def test_entries_are_divided_into_pages_that_lead_to_each_other(tmp_path, make_entries):
    write_gallery(tmp_path, make_entries(tmp_path, 5), title="t", page_size=2)
    assert _pages(tmp_path) == ["index-2.html", "index-3.html", "index.html"]
    first, second, third = "index.html", "index-2.html", "index-3.html"
    expected = {  # the links: first, previous, next, last
        first: ("1–2 of 5", ["001.png", "002.png"], [second, third]),
        second: ("3–4 of 5", ["003.png", "004.png"], [first, first, third, third]),
        third: ("5 of 5", ["005.png"], [first, second]),
    }
    for name, (text, names, links) in expected.items():
        page = _Page(tmp_path / name)
        assert page.text["name"] == names
        assert page.text["span"][:2] == [text] * 2  # above and below the entries
        assert [url for url in page.urls() if url.startswith("index")] == links * 2
        assert [url for url in page.urls() if url.startswith("#")] == [f"#{int(name[:3])}" for name in names]


@pytest.mark.parametrize(("count", "text"), [(0, "No images"), (1, "of 1 image"), (2, "of 2 images")])
def test_one_page_has_no_pager(tmp_path, count, text, make_entries):
    page = _Page(write_gallery(tmp_path, make_entries(tmp_path, count), title="t", page_size=2))
    assert not [values for _, values in page.elements if values.get("class") == "pager"]
    assert page.text["p"][0].endswith(text)
    assert len(page.pictures()) == count * 3


def test_way_back_is_shown_where_there_is_one(tmp_path, make_entry):
    entries = [make_entry(tmp_path, "a.png"), make_entry(tmp_path, "b.png", cycled=False)]
    assert "--columns:3" in write_gallery(tmp_path, entries, title="t").read_text()
    assert len(_Page(tmp_path / "index.html").pictures()) == 5
    assert "--columns:2" in write_gallery(tmp_path, entries[1:], title="t").read_text()


def test_pictures_are_lazy_and_keep_their_place_free(tmp_path, make_entry):
    page = _Page(write_gallery(tmp_path, [make_entry(tmp_path, "a.png", size=(9, 4))], title="t"))
    images = [values for tag, values in page.elements if tag == "img" and "src" in values]
    assert [(i["loading"], i["width"], i["height"], i["alt"]) for i in images] == [
        ("lazy", "9", "4", label) for label in ("Input", "Output", "Way back")
    ]


def test_shorter_gallery_removes_its_old_pages_and_no_others(tmp_path, make_entries):
    entries = make_entries(tmp_path, 6)
    write_gallery(tmp_path, entries, title="t", page_size=1)
    others = ["index-7.html", "index-x.html", "index-06.html", "other.html"]
    for name in others:
        (tmp_path / name).write_text("<!DOCTYPE html> mine")
    write_gallery(tmp_path, entries, title="t", page_size=3)
    assert _pages(tmp_path) == sorted(["index.html", "index-2.html", *others])
    assert (tmp_path / "index-7.html").read_text() == "<!DOCTYPE html> mine"


def test_foreign_page_is_not_replaced(tmp_path, make_entries):
    (tmp_path / "index-2.html").write_text("mine")
    with pytest.raises(UsageError, match=r"index-2\.html exists and is not a page of a gallery"):
        write_gallery(tmp_path, make_entries(tmp_path, 2), title="t", page_size=1)
    assert _pages(tmp_path) == ["index-2.html"]
    assert (tmp_path / "index-2.html").read_text() == "mine"
