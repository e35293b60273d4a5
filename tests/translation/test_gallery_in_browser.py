import base64
import io
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclegan.translation.gallery import write_gallery

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


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


def test_gallery_works_in_a_browser_from_a_file(tmp_path, save_colour, make_entry):
    folder = tmp_path / "a #1? gällery"
    names = ["<b>&\"'#%?.png", "name with spaces and ünïcødé.png", "c.png", "d.png", "e.png"]
    entries = [make_entry(folder, name, size=(64, 48)) for name in names]
    save_colour(entries[1].cycled, (0, 255, 0, 0), (64, 48))
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
