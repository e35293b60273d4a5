from typing import Any

import keras
import pytest

from cyclegan.data.headers import BadImage
from cyclegan.errors import UsageError
from cyclegan.translation.layout import Layout, Layouts


@pytest.fixture(scope="module")
def generator(bundle) -> keras.Model:
    """A network of 3 channels, trained on images of 64 pixels as far as its bundle says."""
    return bundle.generator("ab")


@pytest.fixture
def layouts(bundle, generator):
    def make(**options: Any) -> Layouts:
        return Layouts(generator, bundle.info, "ab", **{"size": "auto", "tile": None, "memory_limit": None, **options})

    return make


@pytest.mark.parametrize("options", [{"size": "huge"}, {"size": 0}, {"tile": 0}])
def test_options_that_make_no_sense_are_refused(layouts, options):
    with pytest.raises(UsageError, match="Received"):
        layouts(**options)


@pytest.mark.parametrize(
    ("size", "image", "expected"),
    [
        ("auto", (128, 300), (128, 300, 128, 300)),  # up to twice 64
        ("auto", (256, 600), (128, 300, 128, 300)),
        ("auto", (1000, 130), (985, 128, 988, 128)),
        ("native", (257, 600), (257, 600, 260, 600)),
        ("native", (3, 1), (3, 1, 8, 8)),
        (64, (128, 256), (64, 128, 64, 128)),
        (64, (16, 16), (64, 64, 64, 64)),
    ],
)
def test_layout_scales_the_shorter_side_and_pads_to_what_the_network_takes(layouts, size, image, expected):
    assert layouts(size=size).choose(*image) == Layout(*expected, None)


@pytest.mark.parametrize(
    ("size", "limit", "message"),
    [
        ("auto", 6e9, r"8000 x 8000 pixels need about 6\.1 GB of memory; the limit is 6\.0 GB\. Raise the limit"),
        ("native", 6.5e9, r"8000 x 8000 pixels need about [0-9.]+ GB of memory; the limit is 6\.5 GB, even in strips"),
    ],
)
def test_image_that_does_not_fit_into_the_memory_limit_is_refused(layouts, size, limit, message):
    """An image of 3 channels and its translation take 4 * 4 * (3 + 3) bytes a pixel."""
    with pytest.raises(BadImage, match=message):
        layouts(size=size, memory_limit=limit).choose(8000, 8000)


@pytest.mark.parametrize(("limit", "expected"), [(1.5, 1), (3.5, 3), (100, 4)])
def test_batches_are_as_large_as_the_memory_limit_allows(layouts, limit, expected):
    one = layouts(size="native").bytes_for(64, 64)
    assert layouts(size="native", memory_limit=limit * one).batch_size(64, 64, 4) == expected


def test_images_that_are_scaled_take_memory_at_their_own_size_too(layouts):
    scaled = layouts(size=64).bytes_for(64, 64) + 4 * 4 * 6 * 512**2
    assert layouts(size=64, memory_limit=2.5 * scaled).batch_size(512, 512, 4) == 2


@pytest.mark.parametrize(("width", "expected"), [(1000, 4), (1001, 1)])
def test_images_of_more_than_a_million_pixels_are_translated_one_by_one(layouts, width, expected):
    assert layouts(size=64).batch_size(1000, width, 4) == expected


def test_estimate_counts_the_maps_that_exist_at_the_same_time(layouts):
    """There are 2 to 6 maps of 4 channels with 4 bytes each, and the same again for convolutions.

    The image and its translation have 3 channels each, in 4 copies.
    """
    maps, images = 4 * 4 * 64 * 64, 4 * 4 * 6 * 64 * 64
    assert 2 * 2 * maps + images <= layouts().bytes_for(64, 64) <= 2 * 6 * maps + images
