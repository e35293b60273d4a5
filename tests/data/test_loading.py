import os
import threading
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from cyclegan.config.sections import DataConfig
from cyclegan.data.decoding import decode, read_image
from cyclegan.data.headers import BadImage
from cyclegan.data.image_cache import ImageCache
from cyclegan.data.loading import ByteBudget, load_image

RNG = np.random.default_rng(0)


def load(path, config, channels=3, cache=None):
    return load_image(path, channels, config.load_size, config, ByteBudget(10**9), cache)


def smooth(height, width):
    """A picture with soft colours and some noise: uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width] / 60
    colours = np.stack([np.sin(x + y), np.cos(x - y), np.sin(2 * x)], axis=-1) * 90 + 128
    return (colours + RNG.normal(0, 6, (height, width, 1))).clip(0, 255).astype(np.uint8)


def levels(image):
    return (image.astype(np.float64) + 1) * 127.5


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(smooth(1200, 1600)).save(path, quality=90)
    return path


def test_an_image_of_the_load_size_is_what_the_decoder_gives(tmp_path):
    Image.fromarray(smooth(40, 40)).save(tmp_path / "a.jpg")
    config = DataConfig(load_size=40, crop_size=32)
    np.testing.assert_array_equal(load(tmp_path / "a.jpg", config), read_image(tmp_path / "a.jpg", 3, None))


@pytest.mark.parametrize(("side", "suffix"), [(40, "png"), (150, "png"), (150, "jpg"), (199, "jpg")])
def test_an_image_is_pillows_bicubic_of_the_whole_decode(tmp_path, side, suffix):
    """Also of JPEG, if its sides are less than four times the load size."""
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(smooth(side, side + 3)).save(path)
    with Image.open(path) as picture:
        expected = np.asarray(picture.resize((50, 50), Image.Resampling.BICUBIC))
    loaded = load(path, DataConfig(load_size=50, crop_size=32))
    np.testing.assert_allclose(levels(loaded), expected, atol=1e-4)


def test_a_large_photo_is_close_to_its_whole_decode(photo):
    with Image.open(photo) as picture:
        expected = np.asarray(picture.resize((100, 100), Image.Resampling.BICUBIC))
    error = np.abs(levels(load(photo, DataConfig(load_size=100, crop_size=64))) - expected)
    assert 0 < error.mean() < 0.5 and error.max() < 4.5  # in grey levels: it was not decoded as a whole


def test_without_a_resize_a_photo_keeps_every_pixel(photo):
    np.testing.assert_array_equal(load(photo, DataConfig(crop_size=64, resize="none")), read_image(photo, 3, None))


def test_a_turned_photo_is_not_decoded_below_its_load_size(tmp_path):
    """It is stored four times as wide as it is high, and shown upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth(400, 1600)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    config = DataConfig(load_size=200, crop_size=64, resize="keep-aspect")
    loaded = load(tmp_path / "a.jpg", config)
    assert loaded.shape == (800, 200, 3)
    with Image.open(tmp_path / "a.jpg") as picture:
        expected = np.asarray(
            picture.resize((800, 200), Image.Resampling.BICUBIC).transpose(Image.Transpose.ROTATE_270)
        )
    np.testing.assert_allclose(levels(loaded), expected, atol=1e-4)


def test_a_turned_photo_is_decoded_at_the_size_of_one_that_is_not_turned(tmp_path):
    picture, exif = Image.fromarray(smooth(400, 1600)), Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", quality=50)
    picture.save(tmp_path / "turned.jpg", quality=50, exif=exif)
    config = DataConfig(load_size=48, crop_size=48, resize="keep-aspect")
    turned, expected = load(tmp_path / "turned.jpg", config), np.rot90(load(tmp_path / "a.jpg", config), -1)
    # The two passes of the resize change places, and each of them rounds.
    assert np.abs(levels(turned) - levels(expected)).max() < 1.5


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("gray16.png", 1),
        ("gray16.png", 3),
        ("cmyk.jpg", 3),
        ("gray_alpha.png", 4),
        ("palette.png", 3),
        ("photo.bmp", 1),
    ],
)
def test_awkward_images_come_close_to_a_resize_of_floats(shared, name, channels):
    path = shared / "awkward_images" / name
    whole = decode(path.read_bytes(), channels)
    pictures = [Image.fromarray(np.ascontiguousarray(whole[:, :, channel])) for channel in range(channels)]
    size = (200, 200)
    expected = np.stack([np.asarray(p.resize(size, Image.Resampling.BICUBIC)) for p in pictures], axis=-1).clip(-1, 1)
    loaded = load(path, DataConfig(load_size=200, crop_size=64), channels)
    assert np.abs(levels(loaded) - levels(expected)).mean() < 0.5


def test_16_bits_keep_more_than_8_after_the_resize(tmp_path):
    ramp = np.linspace(30_000, 30_400, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    loaded = load(tmp_path / "a.png", DataConfig(load_size=32, crop_size=32, channels_a=1), channels=1)
    assert len(np.unique(loaded)) > 200  # 8 bits would have two or three levels here


def test_values_beyond_the_range_are_clipped_before_the_resize(tmp_path):
    """A single hot pixel of 65535 must not spoil its neighbours when the range ends at 4095."""
    pixels = np.full((64, 64), 1000, np.uint16)
    pixels[32, 32] = 65535
    Image.fromarray(pixels).save(tmp_path / "hot.png")
    pixels[32, 32] = 4095
    Image.fromarray(pixels).save(tmp_path / "clipped.png")
    config = DataConfig(load_size=32, crop_size=32, value_range=(0, 4095))
    hot, clipped = (load(tmp_path / f"{name}.png", config, 1) for name in ("hot", "clipped"))
    np.testing.assert_array_equal(hot, clipped)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_image_from_the_cache_has_the_bits_of_a_fresh_one(tmp_path, photo, channels):
    config, cache = DataConfig(load_size=100, crop_size=64), ImageCache(tmp_path / "cache", 10**7, pytest.fail)
    alone = load(photo, config, channels)
    first = load(photo, config, channels, cache)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    status = photo.stat()
    photo.write_bytes(bytes(status.st_size))  # so that the second one cannot come from the file
    os.utime(photo, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = load(photo, config, channels, cache)
    np.testing.assert_array_equal(first, alone)
    np.testing.assert_array_equal(second, alone)


def test_a_file_that_changed_is_decoded_again(tmp_path, photo):
    config, cache = DataConfig(load_size=100, crop_size=64), ImageCache(tmp_path / "cache", 10**7, pytest.fail)
    load(photo, config, 3, cache)
    Image.fromarray(255 - smooth(1200, 1600)).save(photo)
    np.testing.assert_array_equal(load(photo, config, 3, cache), load(photo, config))


@pytest.mark.parametrize("change", [{"load_size": 90}, {"resize": "keep-aspect"}, {"value_range": (0, 100)}])
def test_other_settings_do_not_take_images_from_the_cache(tmp_path, photo, change):
    config, cache = DataConfig(load_size=100, crop_size=64), ImageCache(tmp_path / "cache", 10**7, pytest.fail)
    load(photo, config, 3, cache)
    other = DataConfig(**{"load_size": 100, "crop_size": 64, **change})
    np.testing.assert_array_equal(load(photo, other, 3, cache), load(photo, other))


def test_files_of_one_name_in_two_folders_are_two_images(tmp_path):
    """They also have one size and one time, as files that an archive without compression held."""
    config, cache = DataConfig(load_size=100, crop_size=64), ImageCache(tmp_path / "cache", 10**7, pytest.fail)
    for folder, value in (("a", 10), ("b", 200)):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (1100, 1000), (value, value, value)).save(tmp_path / folder / "1.bmp")
        os.utime(tmp_path / folder / "1.bmp", (0, 0))
        load(tmp_path / folder / "1.bmp", config, 3, cache)
    for folder, value in (("a", 10), ("b", 200)):
        np.testing.assert_allclose(levels(load(tmp_path / folder / "1.bmp", config, 3, cache)), value, atol=1e-4)


def test_small_images_are_not_kept(tmp_path):
    config, cache = DataConfig(load_size=100, crop_size=64), ImageCache(tmp_path / "cache", 10**7, pytest.fail)
    Image.fromarray(smooth(256, 256)).save(tmp_path / "a.png")
    load(tmp_path / "a.png", config, 3, cache)
    assert not (tmp_path / "cache").exists()


def test_a_photo_is_not_widened_to_floats_before_its_resize(tmp_path):
    """Of a format that is always decoded as a whole: 3 bytes a pixel, and 3 more while they leave Pillow."""
    Image.fromarray(smooth(1000, 1000)).save(tmp_path / "a.png")
    tracemalloc.start()
    load(tmp_path / "a.png", DataConfig(load_size=100, crop_size=64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1000 * 1000  # float32 alone would be 12 bytes a pixel


def test_an_image_is_not_decoded_while_the_budget_is_taken(photo):
    budget, config, loaded = ByteBudget(10**6), DataConfig(load_size=100, crop_size=64), []
    thread = threading.Thread(target=lambda: loaded.append(load_image(photo, 3, 100, config, budget)))
    with budget.taking(10**6):
        thread.start()
        thread.join(timeout=0.5)
        assert thread.is_alive() and not loaded
    thread.join(timeout=60)
    assert loaded[0].shape == (100, 100, 3)


def test_a_budget_lets_threads_in_up_to_its_bytes():
    budget = ByteBudget(10)
    entered = threading.Event()

    def take():
        with budget.taking(4):
            entered.set()

    with budget.taking(7):
        thread = threading.Thread(target=take)
        thread.start()
        with budget.taking(3):
            assert not entered.is_set()  # 7 + 3 + 4 are more than 10
    thread.join(timeout=60)
    assert entered.is_set()


def test_a_budget_lets_in_alone_what_is_larger_than_it():
    budget = ByteBudget(10)
    with budget.taking(1000):
        pass
    with budget.taking(10):
        pass


@pytest.mark.parametrize(("resize", "size"), [("keep-aspect", (2000, 3)), ("none", (2000, 1))])
def test_a_strip_that_would_become_a_huge_image_is_refused(tmp_path, resize, size):
    Image.new("L", size).save(tmp_path / "strip.png")
    config = DataConfig(load_size=286, crop_size=256, resize=resize, max_pixels=10**7)
    with pytest.raises(BadImage, match=r"strip.png: it is too narrow: 2000 x \d pixels would become \d+ x 2[58]6, and"):
        load(tmp_path / "strip.png", config)
    assert load(tmp_path / "strip.png", config.model_copy(update={"resize": "stretch"})).shape == (286, 286, 3)


def test_an_image_that_is_enlarged_may_be_32_times_as_long_as_wide(tmp_path):
    config = DataConfig(load_size=64, crop_size=64, resize="keep-aspect")
    Image.new("L", (640, 20)).save(tmp_path / "panorama.png")
    assert load(tmp_path / "panorama.png", config).shape == (64, 2048, 3)
    Image.new("L", (660, 20)).save(tmp_path / "strip.png")
    with pytest.raises(BadImage, match="may be at most 32 times as long as wide"):
        load(tmp_path / "strip.png", config)
    Image.new("L", (6600, 70)).save(tmp_path / "long.png")  # not enlarged
    assert load(tmp_path / "long.png", config).shape == (64, 6034, 3)
