import base64
import html.parser
import io
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclegan.errors import UsageError
from cyclegan.translation.contact_sheet import contact_sheet
from cyclegan.translation.gallery import Entry, write_gallery

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def _save(path: Path, colour: tuple[int, ...] = RED, size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(path, "PNG")
    return path


def _entry(folder: Path, name: str, size: tuple[int, int] = (8, 8), cycled: bool = True) -> Entry:
    """Red, green and blue."""
    return Entry(
        name,
        _save(folder / "inputs" / name, RED, size),
        _save(folder / "translated" / name, GREEN, size),
        _save(folder / "back" / name, BLUE, size) if cycled else None,
    )


def _entries(folder: Path, count: int, **options) -> list[Entry]:
    return [_entry(folder, f"{number:03}.png", **options) for number in range(1, count + 1)]


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


def test_names_are_shown_as_they_are_and_their_urls_lead_to_their_files(tmp_path):
    names = [name.replace("</script>", "<／script>") for name in AWKWARD]  # no slash in the name of a file
    entries = [_entry(tmp_path, name)._replace(name=shown) for name, shown in zip(names, AWKWARD, strict=True)]
    page = _Page(write_gallery(tmp_path, entries, title="</title><script>{{pager}}"))

    assert page.text["name"] == AWKWARD
    assert [values["title"] for _, values in page.elements if values.get("class") == "name"] == AWKWARD
    assert page.text["title"] == page.text["h1"] == ["</title><script>{{pager}}"]
    assert [_target(tmp_path, url) for url in page.pictures()] == [path for entry in entries for path in entry[1:]]
    tags = [tag for tag, _ in page.elements]
    assert (tags.count("b"), tags.count("script"), tags.count("img")) == (0, 1, len(entries) * 3 + 2)
    assert not any(char in url for url in page.pictures() for char in "<>\"'&#?\\: \n")


def test_name_that_is_no_unicode_leads_to_its_file(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        entry = _entry(tmp_path, name)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    page = _Page(write_gallery(tmp_path, [entry], title="t"))
    assert page.text["name"] == ["caf?.png"]
    assert page.pictures()[0] == "inputs/caf%E9.png"


def test_pages_refer_to_nothing_but_the_pictures_and_each_other(tmp_path):
    write_gallery(tmp_path, _entries(tmp_path, 5), title="t", page_size=2)
    for name in _pages(tmp_path):
        page = _Page(tmp_path / name)
        for url in page.urls():
            if url != "data:," and not url.startswith("#"):
                assert _target(tmp_path, url).is_file(), url
        source = (tmp_path / name).read_text(encoding="utf-8")
        assert not [word for word in ("http:", "https:", "url(", "@import", "fetch(", "{{") if word in source]


def test_folder_may_be_relative_or_moved(tmp_path, monkeypatch):
    entries = _entries(tmp_path / "a", 1)
    monkeypatch.chdir(tmp_path)
    assert write_gallery(Path("a"), entries, title="t") == Path("a/index.html")
    (tmp_path / "a").rename(tmp_path / "b")
    assert all(_target(tmp_path / "b", url).is_file() for url in _Page(tmp_path / "b" / "index.html").pictures())


def test_entries_are_divided_into_pages_that_lead_to_each_other(tmp_path):
    write_gallery(tmp_path, _entries(tmp_path, 5), title="t", page_size=2)
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
def test_one_page_has_no_pager(tmp_path, count, text):
    page = _Page(write_gallery(tmp_path, _entries(tmp_path, count), title="t", page_size=2))
    assert not [values for _, values in page.elements if values.get("class") == "pager"]
    assert page.text["p"][0].endswith(text)
    assert len(page.pictures()) == count * 3


def test_way_back_is_shown_where_there_is_one(tmp_path):
    entries = [_entry(tmp_path, "a.png"), _entry(tmp_path, "b.png", cycled=False)]
    assert "--columns:3" in write_gallery(tmp_path, entries, title="t").read_text()
    assert len(_Page(tmp_path / "index.html").pictures()) == 5
    assert "--columns:2" in write_gallery(tmp_path, entries[1:], title="t").read_text()


def test_pictures_are_lazy_and_keep_their_place_free(tmp_path):
    page = _Page(write_gallery(tmp_path, [_entry(tmp_path, "a.png", size=(9, 4))], title="t"))
    images = [values for tag, values in page.elements if tag == "img" and "src" in values]
    assert [(i["loading"], i["width"], i["height"], i["alt"]) for i in images] == [
        ("lazy", "9", "4", label) for label in ("Input", "Output", "Way back")
    ]


def test_shorter_gallery_removes_its_old_pages_and_no_others(tmp_path):
    entries = _entries(tmp_path, 6)
    write_gallery(tmp_path, entries, title="t", page_size=1)
    others = ["index-7.html", "index-x.html", "index-06.html", "other.html"]
    for name in others:
        (tmp_path / name).write_text("<!DOCTYPE html> mine")
    write_gallery(tmp_path, entries, title="t", page_size=3)
    assert _pages(tmp_path) == sorted(["index.html", "index-2.html", *others])
    assert (tmp_path / "index-7.html").read_text() == "<!DOCTYPE html> mine"


def test_page_of_somebody_else_is_not_replaced(tmp_path):
    (tmp_path / "index-2.html").write_text("mine")
    with pytest.raises(UsageError, match=r"index-2\.html exists and is not a page of a gallery"):
        write_gallery(tmp_path, _entries(tmp_path, 2), title="t", page_size=1)
    assert _pages(tmp_path) == ["index-2.html"]
    assert (tmp_path / "index-2.html").read_text() == "mine"


def test_contact_sheet_has_pictures_where_they_belong(tmp_path):
    """Tile 64, font 8: a margin of 24, a header of 16, then tiles each 68 after the other."""
    entries = [_entry(tmp_path, "wide.png", size=(128, 64)), _entry(tmp_path, "small.png", size=(4, 4), cycled=False)]
    sheet = contact_sheet(entries, tile_size=64)
    assert (sheet.mode, sheet.size) == ("RGB", (24 + 3 * 68 - 4 + 24, 24 + 16 + 2 * 68 - 4 + 24))
    pixels = np.asarray(sheet)
    # The wide picture is 64 x 32 in the middle of its tile, the small one fills its own.
    for column, colour in enumerate([RED, GREEN, BLUE]):
        tile = pixels[40 : 40 + 64, 24 + column * 68 : 24 + column * 68 + 64]
        np.testing.assert_array_equal(tile[16:48], np.broadcast_to(colour, (32, 64, 3)))
        np.testing.assert_array_equal(tile[[*range(16), *range(48, 64)]], 255)
        tile = pixels[108 : 108 + 64, 24 + column * 68 : 24 + column * 68 + 64]
        np.testing.assert_array_equal(tile, np.broadcast_to(colour if column < 2 else WHITE, (64, 64, 3)))
    assert (pixels[104:108] == 255).all() and (pixels[:, 88:92] == 255).all()  # the gaps
    for column in range(3):  # a label above each
        assert (pixels[24:40, 24 + column * 68 : 24 + column * 68 + 64] < 255).any()
    assert (pixels[:24] == 255).all()


@pytest.mark.parametrize(
    ("count", "cycled", "columns", "rows"),
    [(1, False, 2, 1), (1, True, 3, 1), (4, False, 4, 2), (5, True, 6, 3), (24, False, 8, 6), (24, True, 9, 8)],
)
def test_contact_sheet_is_no_endless_strip(tmp_path, count, cycled, columns, rows):
    """Rows go down the first group of columns, then down the next."""
    sheet = contact_sheet(_entries(tmp_path, count, cycled=cycled), tile_size=10)
    width = 3 if cycled else 2
    groups = columns // width
    assert sheet.size == (groups * (width * 14 - 4 + 24) + 24, 24 + 16 + rows * 14 - 4 + 24)
    assert sheet.getpixel((24 + 5, 40 + (min(rows, count) - 1) * 14 + 5)) == RED
    in_last = count - (groups - 1) * rows
    left = 24 + (groups - 1) * (width * 14 - 4 + 24)
    assert [sheet.getpixel((left + 5, 40 + row * 14 + 5)) for row in range(rows)] == (
        [RED] * in_last + [WHITE] * (rows - in_last)
    )


def test_contact_sheet_chooses_evenly_from_first_to_last(tmp_path):
    shades = [(level, level, 0) for level in range(0, 250, 25)]
    paths = [_save(tmp_path / f"{shade[0]}.png", shade) for shade in shades]
    sheet = contact_sheet([Entry("", path, path, None) for path in paths], tile_size=8, max_rows=4)
    # Of 0 to 9: 0, 3, 6, 9, in two groups of 2 x 8 + 4 pixels.
    assert sheet.size == (24 + 2 * (20 + 24), 24 + 16 + 2 * 12 - 4 + 24)
    found = [sheet.getpixel((24 + group * 44 + 4, 40 + row * 12 + 4)) for group in range(2) for row in range(2)]
    assert found == [shades[0], shades[3], shades[6], shades[9]]


def test_contact_sheet_shows_alpha_on_white_and_every_depth(tmp_path):
    half_red = _save(tmp_path / "alpha.png", (255, 0, 0, 51))
    kinds = {
        "bits": Image.new("1", (8, 8), 1),
        "grey": Image.new("L", (8, 8), 100),
        "grey16": Image.fromarray(np.full((8, 8), 100 * 257, np.uint16)),
        "palette": Image.new("RGB", (8, 8), BLUE).quantize(4),
    }
    for name, image in kinds.items():
        image.save(tmp_path / f"{name}.png")
    expected = {"bits": WHITE, "grey": (100,) * 3, "grey16": (100,) * 3, "palette": BLUE}
    for name, colour in expected.items():
        sheet = contact_sheet([Entry("", half_red, tmp_path / f"{name}.png", None)], tile_size=8)
        assert sheet.getpixel((24 + 4, 40 + 4)) == (255, 204, 204)  # a fifth of red on white
        assert sheet.getpixel((24 + 12 + 4, 40 + 4)) == colour


def test_contact_sheet_shows_a_line_of_pixels(tmp_path):
    line = _save(tmp_path / "line.png", RED, (1000, 1))
    sheet = contact_sheet([Entry("", line, line, None)], tile_size=16)
    assert [sheet.getpixel((24 + 8, 40 + y)) for y in (6, 7, 8)] == [WHITE, RED, WHITE]


class _Browser:
    """A page of Chromium, driven over the pipe of its DevTools protocol: JSON between zero bytes."""

    def __init__(self, to_browser: int, from_browser: int):
        self._to, self._from = to_browser, from_browser
        self._received = b""
        self._ids = itertools.count(1)
        self._session: dict[str, str] = {}
        self.events: list[dict] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict:
        message = {"id": next(self._ids), "method": method, "params": parameters, **self._session}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != message["id"]:
            self.events.append(answer)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def _receive(self) -> dict:
        while b"\0" not in self._received:
            assert select.select([self._from], [], [], 60)[0], "Chromium does not answer"
            data = os.read(self._from, 1 << 20)
            assert data, "Chromium has ended"
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)

    def value(self, expression: str) -> object:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        deadline = time.monotonic() + 60
        while not self.value(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.05)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait_for(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")

    def mouse(self, kind: str, x: float, y: float, **more: object) -> None:
        self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **more)

    def drag(self, *points: tuple[float, float]) -> None:
        self.mouse("Pressed", *points[0], button="left", buttons=1, clickCount=1)
        for point in points[1:]:
            self.mouse("Moved", *point, button="left", buttons=1)
        self.mouse("Released", *points[-1], button="left", clickCount=1)

    def click(self, selector: str) -> None:
        self.drag(self.centre(selector))

    def key(self, key: str) -> None:
        # What the browser itself does for a key goes by its code.
        code = {"Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}.get(key)
        which = {"key": key, "windowsVirtualKeyCode": code} if code else {"key": key, "text": key}
        self.call("Input.dispatchKeyEvent", type="keyDown", **which)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width, height in the window."""
        names = "left", "top", "width", "height"
        box = self.value(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()")
        return tuple(box[name] for name in names)

    def centre(self, selector: str) -> tuple[float, float]:
        left, top, width, height = self.box(selector)
        return left + width / 2, top + height / 2

    def screenshot(self) -> Image.Image:
        # What was drawn last is on the screen only after a frame.
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        data = self.call("Page.captureScreenshot", format="png")["data"]
        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")

    def complaints(self) -> list[dict]:
        """Exceptions, messages on the console, requests that failed or left the computer."""
        bad = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Network.loadingFailed"}
        return [
            event
            for event in self.events
            if event["method"] in bad
            and not event["params"].get("canceled")  # by going to another page
            or event["method"] == "Network.requestWillBeSent"
            and not event["params"]["request"]["url"].startswith(("file:", "data:"))
        ]


@contextmanager
def _chromium(profile: Path, width: int = 1200, height: int = 800) -> Iterator[_Browser]:
    names = "chromium", "chromium-browser", "google-chrome"
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"needs one of {', '.join(names)}")
    its_input, to_browser = os.pipe()
    from_browser, its_output = os.pipe()
    command = [
        # Not <&12: a plain sh duplicates descriptors of one digit only.
        *["sh", "-c", f'exec "$0" "$@" 3</dev/fd/{its_input} 4>/dev/fd/{its_output}'],
        *[program, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"],
        *["--disable-breakpad", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        *[f"--user-data-dir={profile}", f"--window-size={width},{height}", "--hide-scrollbars", "about:blank"],
    ]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command, pass_fds=(its_input, its_output), stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    os.close(its_input)
    os.close(its_output)
    try:
        browser = _Browser(to_browser, from_browser)
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        yield browser
    finally:
        os.close(to_browser)  # on which it ends, and takes along what it has started
        os.close(from_browser)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


def test_gallery_works_in_a_browser_from_a_file(tmp_path):
    folder = tmp_path / "a #1? gällery"
    names = ["<b>&\"'#%?.png", "name with spaces and ünïcødé.png", "c.png", "d.png", "e.png"]
    entries = [_entry(folder, name, size=(64, 48)) for name in names]
    _save(entries[1].cycled, (0, 255, 0, 0), (64, 48))
    index = write_gallery(folder, entries, title="t", page_size=3)
    with _chromium(tmp_path / "profile") as browser:
        browser.open(index.as_uri())
        browser.wait_for("[...document.querySelectorAll('.entry img')].every(image => image.complete)")
        widths = browser.value("[...document.querySelectorAll('.entry img')].map(image => image.naturalWidth)")
        assert widths == [64] * 9
        assert browser.value("getComputedStyle(document.querySelector('dialog')).display") == "none"

        browser.click(".entry")
        browser.wait_for("document.querySelector('dialog').open")
        assert browser.value("document.querySelector('#name').textContent") == names[0]
        browser.wait_for("[...document.querySelectorAll('#stage img')].every(image => image.naturalWidth === 64)")
        _check_divider(browser)
        _check_zoom(browser)
        _check_browsing(browser, index, names)
        assert browser.complaints() == []


def _colours(browser: _Browser, *places: float) -> list[tuple[int, ...]]:
    """What the screen shows of the picture at these parts of its width, off the divider's handle."""
    left, top, width, height = browser.box("#left img")
    screen = browser.screenshot()
    return [screen.getpixel((round(left + place * width), round(top + height / 4))) for place in places]


def _check_divider(browser: _Browser) -> None:
    left, top, width, height = browser.box("#left img")
    assert browser.box("#right img") == (left, top, width, height)
    assert width / height == pytest.approx(64 / 48)

    def divider() -> float:
        return (browser.centre("#divider")[0] - left) / width

    assert divider() == pytest.approx(0.5, abs=0.01)
    assert _colours(browser, 0.1, 0.4, 0.6, 0.9) == [RED, RED, GREEN, GREEN]
    for place, colours in ((0.25, [RED, GREEN, GREEN, GREEN]), (0.75, [RED, RED, RED, GREEN])):
        start = browser.centre("#divider")
        browser.drag(start, (start[0] - 30, start[1]), (left + place * width, start[1] + 20))
        assert divider() == pytest.approx(place, abs=0.01)
        assert _colours(browser, 0.1, 0.4, 0.6, 0.9) == colours
    y = top + height / 2
    browser.drag((left + 0.3 * width, y), (left - 50, y))  # from anywhere, and no further than the edge
    assert divider() == pytest.approx(0, abs=0.01)

    browser.value("document.querySelector('#split').focus()")
    for _ in range(20):
        browser.key("ArrowRight")
    assert divider() == pytest.approx(0.2, abs=0.01)
    assert _colours(browser, 0.1, 0.4) == [RED, GREEN]
    browser.click("label:last-child")
    browser.wait_for("document.querySelector('#right img').complete")
    assert _colours(browser, 0.1, 0.4) == [RED, BLUE]
    assert browser.value("location.hash") == "#1"  # arrows that move something do not leave the entry


def _check_zoom(browser: _Browser) -> None:
    left, top, width, height = browser.box("#left img")
    x, y = browser.centre("#left img")
    browser.key("1")
    assert browser.box("#left img")[2:] == (64, 48)
    assert browser.value("getComputedStyle(document.querySelector('#left img')).imageRendering") == "auto"
    browser.key("+")
    assert browser.box("#left img")[2:] == (96, 72)
    assert browser.value("getComputedStyle(document.querySelector('#left img')).imageRendering") == "pixelated"
    browser.key("-")
    assert browser.value("document.querySelector('#percent').textContent") == "100 %"
    browser.key("0")
    assert browser.box("#left img") == pytest.approx((left, top, width, height))

    # The wheel keeps the point below the pointer; dragging moves the picture, and no further than its edges.
    browser.mouse("Wheel", x + 100, y, deltaX=0, deltaY=-250)
    zoomed = browser.box("#left img")
    assert zoomed[2] == pytest.approx(width * np.exp(0.5))
    assert (x + 100 - zoomed[0]) / zoomed[2] == pytest.approx((x + 100 - left) / width)
    browser.drag((x + 100, y), (x + 130, y + 10), (x + 160, y + 20))
    moved = browser.box("#left img")
    assert np.subtract(moved, zoomed) == pytest.approx([60, 20, 0, 0])
    browser.drag((x + 100, y), (x + 100, y + 5000))
    assert browser.box("#left img")[1] == pytest.approx(browser.box("#stage")[1])
    assert _colours(browser, 0.5) == [BLUE]
    browser.click("#fit")
    assert browser.box("#left img") == pytest.approx((left, top, width, height))


def _check_browsing(browser: _Browser, index: Path, names: list[str]) -> None:
    def shown() -> list[object]:
        return browser.value("['name', 'position'].map(id => document.getElementById(id).textContent)")

    browser.key("n")
    assert shown() == [names[1], "2 of 5"]
    browser.wait_for("[...document.querySelectorAll('#stage img')].every(image => image.complete)")
    right = _colours(browser, 0.9)[0]
    assert max(right) - min(right) < 10  # of the red input nothing is seen through its clear translation
    browser.key("ArrowRight")
    assert shown() == [names[2], "3 of 5"]
    browser.key("p")
    assert shown() == [names[1], "2 of 5"]
    browser.key("Escape")
    browser.wait_for("document.activeElement.hash === '#2'")
    assert browser.value("[location.hash, document.querySelector('dialog').open]") == ["", False]

    second = index.with_name("index-2.html").as_uri()
    browser.click("a[rel=next]")
    browser.wait_for(f"document.readyState === 'complete' && location.href === {json.dumps(second)}")
    browser.click(".entry")
    browser.wait_for("document.querySelector('dialog').open")
    assert shown() == [names[3], "4 of 5"]
    browser.click("#previous")  # leads to the page before
    browser.wait_for(f"document.readyState === 'complete' && location.href === {json.dumps(index.as_uri() + '#3')}")
    browser.wait_for("document.querySelector('dialog').open")
    assert shown() == [names[2], "3 of 5"]


def test_contact_sheet_shows_a_value_range_from_black_to_white(tmp_path):
    paths = tmp_path / "input.tiff", tmp_path / "output.png"
    ranges = dict(zip(paths, [(-1000, 3000), (0, 4000)], strict=True))
    for path, (low, high) in ranges.items():
        ramp = np.linspace(low, high, 8).repeat(8).reshape(8, 8).T
        Image.fromarray(ramp.astype(np.float32 if path.suffix == ".tiff" else np.uint16)).save(path)
    sheet = contact_sheet([Entry("", *paths, None)], value_range_of=ranges.get, tile_size=8)
    for left in (24, 36):
        grey = [sheet.getpixel((left + column, 40 + 4))[0] for column in range(8)]
        np.testing.assert_allclose(grey, np.linspace(0, 255, 8), atol=1)
