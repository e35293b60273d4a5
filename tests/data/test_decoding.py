import io
import struct

import numpy as np
import pytest
from PIL import Image

from cyclegan.data.decoding import decode, read_image, read_pixels
from cyclegan.data.headers import BadImage, read_header
from cyclegan.data.listing import list_images
from cyclegan.errors import UsageError

TOLERANCE = 1e-6


def encoded(pixels, file_format="PNG", mode=None, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, file_format, **options)
    return buffer.getvalue()


def noise(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def tiff(samples, photometric, planar=1):
    """An uncompressed little-endian 16-bit TIFF: of grey [h, w], or of planes [channels, h, w]."""
    planes = np.atleast_3d(samples.T).T.astype("<u2")  # [channels, h, w]
    count, height, width = planes.shape
    tags = [(256, [width]), (257, [height]), (258, [16] * count), (259, [1]), (262, [photometric])]
    tags += [(273, [1000 + 2 * height * width * i for i in range(count)]), (277, [count])]
    tags += [(279, [2 * height * width] * count), (284, [planar])]
    directory, lists = struct.pack("<H", len(tags)), b""
    for tag, values in tags:
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            packed, lists = struct.pack("<I", 500 + len(lists)), lists + packed
        directory += struct.pack("<HHI", tag, 4, len(values)) + packed
    start = struct.pack("<2sHI", b"II", 42, 8) + directory + bytes(4)
    return (start.ljust(500, b"\0") + lists).ljust(1000, b"\0") + planes.tobytes()


# Channels and ranges


def test_8_bit_values_map_to_minus_one_to_one():
    image = decode(encoded(np.uint8([[0, 51, 255]])), channels=1)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, [[[-1], [-0.6], [1]]], atol=TOLERANCE)


def test_ends_of_the_range_are_exact():
    assert decode(encoded(np.uint8([[0, 255]])), channels=3)[0].tolist() == [[-1] * 3, [1] * 3]
    assert decode(encoded(np.uint16([[0, 65535]])), channels=1)[0].tolist() == [[-1], [1]]


def test_grey_is_repeated_to_three_channels():
    image = decode(encoded(np.uint8([[51]])), channels=3)
    np.testing.assert_allclose(image, [[[-0.6, -0.6, -0.6]]], atol=TOLERANCE)


@pytest.mark.parametrize(("colour", "luma"), [((255, 0, 0), 0.299), ((0, 255, 0), 0.587), ((0, 0, 255), 0.114)])
def test_colour_becomes_luma_without_rounding(colour, luma):
    image = decode(encoded(np.uint8([[colour]])), channels=1)
    np.testing.assert_allclose(image, [[[2 * luma - 1]]], atol=TOLERANCE)


def test_alpha_is_dropped_and_the_colours_below_it_are_kept():
    image = decode(encoded(np.uint8([[[255, 51, 0, 0]]])), channels=3)
    np.testing.assert_allclose(image, [[[1, -0.6, -1]]], atol=TOLERANCE)


def test_fourth_channel_is_alpha_in_its_own_range():
    image = decode(encoded(np.uint8([[[100, 50, 0, 51]]])), channels=4, value_range=(0, 100))
    np.testing.assert_allclose(image, [[[1, 0, -1, -0.6]]], atol=TOLERANCE)


def test_fourth_channel_is_opaque_where_the_file_has_no_alpha():
    assert decode(encoded(np.uint8([[[0, 0, 0]]])), channels=4).tolist() == [[[-1, -1, -1, 1]]]


def test_grey_with_alpha_decodes_to_one_three_and_four_channels():
    data = encoded(np.uint8([[[51, 0]]]))
    for channels, expected in [(1, [-0.6]), (3, [-0.6] * 3), (4, [-0.6] * 3 + [-1])]:
        np.testing.assert_allclose(decode(data, channels), [[expected]], atol=TOLERANCE)


@pytest.mark.parametrize("transparency", [0, b"\0\xff"])
def test_palette_gives_its_colours_and_its_transparency(transparency):
    image = Image.frombytes("P", (2, 1), b"\0\1")
    image.putpalette([255, 0, 0, 0, 0, 255])
    decoded = decode(encoded(image, transparency=transparency), channels=4)
    assert decoded.tolist() == [[[1, -1, -1, -1], [-1, -1, 1, 1]]]


def test_one_bit_image_is_black_and_white():
    assert decode(encoded(np.array([[False, True]])), channels=1).tolist() == [[[-1], [1]]]


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(file_format):
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), file_format)
    np.testing.assert_allclose(decode(data, 3)[8, 8], [1, -1, -1], atol=0.05)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_decode_alike(file_format):
    pixels = noise(5, 7)
    options = {"lossless": True} if file_format == "WEBP" else {}
    decoded = decode(encoded(pixels, file_format, **options), channels=3)
    np.testing.assert_allclose(decoded, pixels / 127.5 - 1, atol=TOLERANCE)


def test_gif_gives_its_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, channels=3)[0, 0].tolist() == [1, -1, -1]


@pytest.mark.parametrize("channels", [0, 2, 5])
def test_other_channel_counts_are_refused(channels):
    with pytest.raises(UsageError, match=f"must be 1, 3 or 4. Received: {channels}"):
        decode(encoded(np.uint8([[0]])), channels)


# Depths beyond 8 bits


@pytest.mark.parametrize(("file_format", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B")])
def test_every_16_bit_grey_level_stays_apart(file_format, mode):
    levels = np.arange(65536).reshape(256, 256)
    stored = levels.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
    data = encoded(Image.frombytes(mode, (256, 256), stored), file_format)
    image = decode(data, channels=1)
    np.testing.assert_allclose(image[..., 0], levels / 32767.5 - 1, atol=TOLERANCE)
    assert len(np.unique(image)) == 65536


def test_16_bit_colour_is_read_to_8_bits_in_the_units_of_the_file(tmp_path, png):
    data = png(1, 1, bits=16, colour_type=2, rows=[struct.pack(">3H", 0, 4095, 65535)])
    (tmp_path / "colour.png").write_bytes(data)
    assert read_header(tmp_path / "colour.png").bits == 16
    np.testing.assert_allclose(decode(data, 3), [[[-1, 2 * 4095 / 65535 - 1, 1]]], atol=2 / 255)
    np.testing.assert_allclose(decode(data, 3, (0, 4095)), [[[-1, 1, 1]]], atol=2 * 256 / 4095)


def test_white_is_zero_in_a_16_bit_tiff_that_says_so():
    levels = np.array([[0, 65535]])
    assert decode(tiff(levels, photometric=1), 1).tolist() == [[[-1], [1]]]
    assert decode(tiff(levels, photometric=0), 1).tolist() == [[[1], [-1]]]


def test_16_bit_colour_in_separate_planes_is_refused():
    with pytest.raises(BadImage, match="16-bit colours in separate planes"):
        decode(tiff(np.zeros((3, 2, 2)), photometric=2, planar=2), 3)


def test_value_range_maps_low_and_high_and_clips_beyond():
    data = encoded(np.uint16([[0, 1000, 2000, 3000, 60000]]))
    image = decode(data, channels=1, value_range=(1000, 3000))
    assert image[0, :, 0].tolist() == [-1, -1, 0, 1, 1]


def test_value_range_may_be_negative_for_signed_and_floating_point_files():
    for dtype in (np.int32, np.float32):
        data = encoded(np.array([[-1000, 0, 1000]], dtype), "TIFF")
        assert decode(data, 1, value_range=(-1000, 1000))[0, :, 0].tolist() == [-1, 0, 1]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_types_without_a_natural_range_need_value_range(dtype):
    with pytest.raises(BadImage, match="set `data.value_range`"):
        decode(encoded(np.array([[1]], dtype), "TIFF"), channels=1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(BadImage, match="not finite"):
        decode(encoded(np.array([[0, value]], np.float32), "TIFF"), 1, value_range=(0, 1))


def test_empty_value_range_is_refused():
    with pytest.raises(UsageError, match="low < high"):
        decode(encoded(np.uint8([[0]])), 1, value_range=(5, 5))


# EXIF orientation

UPRIGHT = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: lambda x: np.rot90(x, 1),
}


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied_once(tmp_path, file_format, orientation):
    pixels = noise(3, 5)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    path = tmp_path / "image"
    path.write_bytes(encoded(pixels, file_format, exif=exif, **options))
    upright = UPRIGHT[orientation](pixels)
    np.testing.assert_array_equal(read_pixels(path), upright)
    header = read_header(path)
    assert (header.height, header.width) == upright.shape[:2]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow warns, and goes on
def test_damaged_exif_does_not_make_an_image_bad():
    data = encoded(noise(8, 8), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert decode(data, channels=3).shape == (8, 8, 3)


# Bad files


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_truncated_files_are_refused(file_format):
    data = encoded(noise(64, 64), file_format)
    with pytest.raises(BadImage, match="truncated") as caught:
        decode(data[: len(data) // 2], channels=3)
    assert caught.value.kind == "truncated"


def test_max_pixels_is_the_largest_allowed_size(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(encoded(noise(4, 5)))
    assert read_image(path, 3, None, max_pixels=20).shape == (4, 5, 3)
    for read in (read_header, read_pixels):
        with pytest.raises(BadImage, match="4 pixels, and at most 19 are allowed"):
            read(path, max_pixels=19)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [10001, 65535])  # Pillow would warn of the first and refuse the second
def test_gif_frame_larger_than_its_screen_is_refused_without_a_warning(side):
    data = bytearray(encoded(noise(4, 4, 1)[..., 0], "GIF"))
    frame = data.index(b",\0\0\0\0\4\0\4\0")
    data[frame + 5 : frame + 9] = struct.pack("<HH", side, side)
    with pytest.raises(BadImage) as caught:
        decode(bytes(data), channels=3)
    assert caught.value.kind == "over-large"


@pytest.mark.parametrize("read", [read_header, read_pixels, lambda path: read_image(path, 3, None)])
def test_bad_image_names_the_file_and_the_reason(tmp_path, read):
    path = tmp_path / "empty.jpg"
    path.touch()
    with pytest.raises(BadImage) as caught:
        read(path)
    assert (caught.value.path, caught.value.reason) == (path, "the file is empty")
    assert str(caught.value) == f"{path}: the file is empty"


def test_random_damage_ends_in_an_image_or_a_bad_image():
    random = np.random.default_rng(0)
    for file_format in ["JPEG", "PNG", "GIF", "BMP", "WEBP"]:
        good = np.frombuffer(encoded(noise(16, 16), file_format), np.uint8)
        for _ in range(40):
            damaged = good.copy()
            damaged[random.integers(0, len(good), 4)] = random.integers(0, 256, 4)
            try:
                image = decode(damaged.tobytes(), channels=3, max_pixels=10**6)
            except BadImage:
                continue
            assert image.shape[-1] == 3 and np.isfinite(image).all()


# Files from real folders

SIZES = {  # (width, height), upright; of the rest 256 x 256
    "animated.gif": (64, 64),
    "exif_rotated.jpg": (160, 240),
    "odd_size.jpg": (317, 203),
    "one_pixel.png": (1, 1),
    "panorama.png": (900, 150),
    "tiny_3x5.png": (3, 5),
}
REASONS = {
    "bomb.png": "it has 30000 x 30000 pixels, and at most 100,000,000 are allowed",
    "empty.jpg": "the file is empty",
    "text.jpg": 'it is not a BMP, GIF, JPEG, PNG, TIFF or WebP image: it starts with the text "this is not an i"',
    "truncated.jpg": "the file is truncated",
}


def test_every_awkward_image_decodes_or_says_why_not(shared):
    folder = shared / "awkward_images"
    reasons = {}
    paths = list_images(folder)
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            for channels in (1, 3, 4):
                width, height = SIZES.get(name, (256, 256))
                assert read_image(path, channels, None).shape == (height, width, channels)
            header = read_header(path)
            assert (header.width, header.height) == (width, height)
        except BadImage as error:
            reasons[name] = error.reason
    reasons.pop("bitflips.jpg", None)  # up to the JPEG library
    assert reasons == REASONS
    assert len(paths) == 24


@pytest.mark.parametrize("profile", [b"junk" * 50, b""])
def test_a_damaged_colour_profile_is_passed_over(profile):
    pixels = noise(8, 8)
    np.testing.assert_allclose(decode(encoded(pixels, icc_profile=profile), 3), pixels / 127.5 - 1, atol=1e-6)
