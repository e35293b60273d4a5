import numpy as np
import pytest
from PIL import Image

from cyclegan.data.decoding import read_image_and_alpha
from cyclegan.translation.contact_sheet import contact_sheet
from cyclegan.translation.gallery import Entry

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture(scope="module")
def pixels(tmp_path_factory, make_entry) -> np.ndarray:
    """A wide picture above a small one: a margin of 24, a header of 16, then a tile of 64 every 68 pixels."""
    folder = tmp_path_factory.mktemp("sheet")
    entries = [
        make_entry(folder, "wide.png", size=(128, 64)),
        make_entry(folder, "small.png", size=(4, 4), cycled=False),
    ]
    return np.asarray(contact_sheet(entries, tile_size=64))


def test_contact_sheet_is_as_large_as_its_tiles_with_gaps_and_margins(pixels):
    assert pixels.shape == (24 + 16 + 2 * 68 - 4 + 24, 24 + 3 * 68 - 4 + 24, 3)
    assert (pixels[104:108] == 255).all() and (pixels[:, 88:92] == 255).all()  # the gaps
    assert (pixels[:24] == 255).all()


@pytest.mark.parametrize(("column", "colour"), list(enumerate([RED, GREEN, BLUE])))
def test_contact_sheet_shows_a_wide_picture_in_the_middle_of_its_tile(pixels, column, colour):
    tile = pixels[40 : 40 + 64, 24 + column * 68 : 24 + column * 68 + 64]
    np.testing.assert_array_equal(tile[16:48], np.broadcast_to(colour, (32, 64, 3)))
    np.testing.assert_array_equal(tile[[*range(16), *range(48, 64)]], 255)


@pytest.mark.parametrize(("column", "colour"), list(enumerate([RED, GREEN, WHITE])))  # without a way back
def test_contact_sheet_enlarges_a_small_picture_to_its_tile(pixels, column, colour):
    tile = pixels[108 : 108 + 64, 24 + column * 68 : 24 + column * 68 + 64]
    np.testing.assert_array_equal(tile, np.broadcast_to(colour, (64, 64, 3)))


@pytest.mark.parametrize("column", range(3))
def test_contact_sheet_has_a_label_above_each_column(pixels, column):
    assert (pixels[24:40, 24 + column * 68 : 24 + column * 68 + 64] < 255).any()


@pytest.mark.parametrize(
    ("count", "cycled", "columns", "rows"),
    [(1, False, 2, 1), (1, True, 3, 1), (4, False, 4, 2), (5, True, 6, 3), (24, False, 8, 6), (24, True, 9, 8)],
)
def test_contact_sheet_is_about_square(tmp_path, count, cycled, columns, rows, make_entries):
    """Entries go down the first group of columns, then down the next."""
    sheet = contact_sheet(make_entries(tmp_path, count, cycled=cycled), tile_size=10)
    width = 3 if cycled else 2
    groups = columns // width
    assert sheet.size == (groups * (width * 14 - 4 + 24) + 24, 24 + 16 + rows * 14 - 4 + 24)
    assert sheet.getpixel((24 + 5, 40 + (min(rows, count) - 1) * 14 + 5)) == RED
    in_last = count - (groups - 1) * rows
    left = 24 + (groups - 1) * (width * 14 - 4 + 24)
    assert [sheet.getpixel((left + 5, 40 + row * 14 + 5)) for row in range(rows)] == (
        [RED] * in_last + [WHITE] * (rows - in_last)
    )


def test_contact_sheet_chooses_evenly_from_first_to_last(tmp_path, save_colour):
    shades = [(level, level, 0) for level in range(0, 250, 25)]
    paths = [save_colour(tmp_path / f"{shade[0]}.png", shade) for shade in shades]
    sheet = contact_sheet([Entry("", path, path, None) for path in paths], tile_size=8, max_rows=4)
    # The entries 0, 3, 6 and 9 of 0 to 9, in two groups of 2 x 8 + 4 pixels.
    assert sheet.size == (24 + 2 * (20 + 24), 24 + 16 + 2 * 12 - 4 + 24)
    found = [sheet.getpixel((24 + group * 44 + 4, 40 + row * 12 + 4)) for group in range(2) for row in range(2)]
    assert found == [shades[0], shades[3], shades[6], shades[9]]


def test_contact_sheet_shows_alpha_on_white(tmp_path, save_colour):
    half_red = save_colour(tmp_path / "alpha.png", (255, 0, 0, 51))
    sheet = contact_sheet([Entry("", half_red, half_red, None)], tile_size=8)
    assert sheet.getpixel((24 + 4, 40 + 4)) == (255, 204, 204)  # a fifth of red on white


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.new("1", (8, 8), 1), WHITE),
        (Image.new("L", (8, 8), 100), (100,) * 3),
        (Image.fromarray(np.full((8, 8), 100 * 257, np.uint16)), (100,) * 3),
        (Image.new("RGB", (8, 8), BLUE).quantize(4), BLUE),
    ],
    ids=["bits", "grey", "grey16", "palette"],
)
def test_contact_sheet_shows_every_depth(tmp_path, image, colour, save_colour):
    image.save(tmp_path / "output.png")
    entry = Entry("", save_colour(tmp_path / "input.png"), tmp_path / "output.png", None)
    assert contact_sheet([entry], tile_size=8).getpixel((24 + 12 + 4, 40 + 4)) == colour


def test_contact_sheet_shows_a_line_of_pixels(tmp_path, save_colour):
    line = save_colour(tmp_path / "line.png", RED, (1000, 1))
    sheet = contact_sheet([Entry("", line, line, None)], tile_size=16)
    assert [sheet.getpixel((24 + 8, 40 + y)) for y in (6, 7, 8)] == [WHITE, RED, WHITE]


def test_contact_sheet_shows_a_value_range_from_black_to_white(tmp_path):
    paths = tmp_path / "input.tiff", tmp_path / "output.png"
    ranges = dict(zip(paths, [(-1000, 3000), (0, 4000)], strict=True))
    for path, (low, high) in ranges.items():
        ramp = np.linspace(low, high, 8).repeat(8).reshape(8, 8).T
        Image.fromarray(ramp.astype(np.float32 if path.suffix == ".tiff" else np.uint16)).save(path)
    sheet = contact_sheet(
        [Entry("", *paths, None)], read=lambda path: read_image_and_alpha(path, 3, ranges[path]), tile_size=8
    )
    for left in (24, 36):
        grey = [sheet.getpixel((left + column, 40 + 4))[0] for column in range(8)]
        np.testing.assert_allclose(grey, np.linspace(0, 255, 8), atol=1)
