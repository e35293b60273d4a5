"""Bundles, images and folders that several tests of translation use."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from cyclegan.bundles.bundle import Bundle
from cyclegan.translation.folder import translate_images
from cyclegan.translation.gallery import Entry
from cyclegan.translation.settings import Settings

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


class Images:
    """Makes images, reads them, and computes what they should become. Test modules get it as the fixture `images`."""

    @staticmethod
    def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
        return np.random.default_rng(height * width).integers(0, 256, (height, width, channels), np.uint8)

    @classmethod
    def save(cls, path: Path, pixels: np.ndarray | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(cls.noise(8, 8) if pixels is None else pixels).save(path)
        return path

    @staticmethod
    def levels(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image, np.float32)

    @staticmethod
    def files_in(folder: Path) -> list[str]:
        """Everything in a folder except folders and the report: also temporary and hidden files."""
        files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
        return sorted(name for name in files if name != "report.json")

    @staticmethod
    def expected(bundle: Bundle, direction: str, pixels: np.ndarray, height: int, width: int) -> np.ndarray:
        """Padded to height x width by indexing, translated, cropped, as levels of 0 to 255."""
        padded = pixels[_reflected(pixels.shape[0], height)][:, _reflected(pixels.shape[1], width)]
        output = bundle.generator(direction)(padded[np.newaxis].astype(np.float32) / 127.5 - 1).numpy()[0]
        return (output[: pixels.shape[0], : pixels.shape[1]] + 1) * 127.5


def _reflected(size: int, padded_size: int) -> list[int]:
    """Indices that go up and down between both edges: 0 1 2 1 0 1 2 ..."""
    if size == 1:
        return [0] * padded_size
    return [min(i % (2 * size - 2), -i % (2 * size - 2)) for i in range(padded_size)]


class Result(NamedTuple):
    num_translated: int
    num_skipped: int
    failed: list[tuple[str, str]]


def _translate(bundle: Bundle, input: Path, output: Path, direction: str = "ab", **options) -> Result:
    keys = {"say", "progress", "file_format", "cycle", "gallery", "grid", "devices", "engine", "strict"}
    others = {"say": print, **{key: options.pop(key) for key in keys & options.keys()}}
    report = translate_images(bundle, [input], output, Settings(direction, **options), **others)
    failed = [(entry["path"], entry["reason"]) for entry in report.failed]
    return Result(len(report.translated), len(report.skipped), failed)


def _save_colour(path: Path, colour: tuple[int, ...] = RED, size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(path, "PNG")
    return path


def _make_entry(folder: Path, name: str, size: tuple[int, int] = (8, 8), cycled: bool = True) -> Entry:
    """An entry of a gallery: a red input, a green output and a blue way back."""
    return Entry(
        name,
        _save_colour(folder / "inputs" / name, RED, size),
        _save_colour(folder / "translated" / name, GREEN, size),
        _save_colour(folder / "back" / name, BLUE, size) if cycled else None,
    )


def _make_entries(folder: Path, count: int, **options) -> list[Entry]:
    return [_make_entry(folder, f"{number:03}.png", **options) for number in range(1, count + 1)]


# Test modules cannot import from each other, so they get functions as fixtures.


@pytest.fixture(scope="session", name="images")
def images_fixture() -> type[Images]:
    return Images


@pytest.fixture(scope="session", name="translate")
def translate_fixture() -> Callable[..., Result]:
    return _translate


@pytest.fixture(scope="session", name="save_colour")
def save_colour_fixture() -> Callable[..., Path]:
    return _save_colour


@pytest.fixture(scope="session", name="make_entry")
def make_entry_fixture() -> Callable[..., Entry]:
    return _make_entry


@pytest.fixture(scope="session", name="make_entries")
def make_entries_fixture() -> Callable[..., list[Entry]]:
    return _make_entries


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., Bundle]) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder
