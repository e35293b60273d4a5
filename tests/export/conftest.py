"""Tiny generators, images, and what skips a test where an extra is not installed."""

import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest
from PIL import Image

from cyclegan.bundles.bundle import Bundle, load_bundle, save_bundle
from cyclegan.bundles.info import bundle_info
from cyclegan.config.files import load_config
from cyclegan.export.formats import FORMATS
from cyclegan.networks.generators import build_generator


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., Bundle]:
    """Saves tiny, untrained generators, which are far from the identity and from a constant."""

    def make(folder: pathlib.Path, *options: tuple[str, object], scale: float = 1) -> Bundle:
        tiny = [("data.load_size", 16), ("data.crop_size", 16), ("generator.filters", 4), ("generator.num_blocks", 1)]
        usual = [("discriminator.num_layers", 1), ("generator.initializer", "he")]
        config = load_config(None, [*tiny, *usual, *options])
        keras.utils.set_random_seed(1)
        channels = config.data.channels_a, config.data.channels_b
        generators = {
            "ab": build_generator(config.generator, *channels, name="generator_ab"),
            "ba": build_generator(config.generator, *channels[::-1], name="generator_ba"),
        }
        for generator in generators.values():
            generator.set_weights([weight * np.float32(scale) for weight in generator.get_weights()])
        save_bundle(folder, generators, bundle_info(config, step=0))
        return load_bundle(folder)

    return make


@pytest.fixture(scope="session")
def bundle(make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("photos")
    for index, size in enumerate([(40, 30), (20, 50), (16, 16), (9, 9)]):
        pixels = np.random.default_rng(index).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).resize((size[1] * 2, size[0] * 2)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def random_images() -> Callable[..., np.ndarray]:
    return lambda *shape: np.random.default_rng(shape).uniform(-1, 1, shape).astype(np.float32)


@pytest.fixture
def out(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def needs_extra() -> Callable[[str], None]:
    """Skips where the extra of a format is not installed."""

    def needs(format_: str) -> None:
        for package in FORMATS[format_].packages:
            pytest.importorskip(package, reason=f"needs {package}: pip install 'cyclegan[{format_}]'")

    return needs
