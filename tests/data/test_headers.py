import errno
import os

import pytest

from cyclegan.data.decoding import decode, read_pixels
from cyclegan.data.headers import BadImage, Header, ReadFailure, opened, read_header


@pytest.mark.parametrize("read", [read_header, read_pixels, lambda path: decode(path.read_bytes(), channels=3)])
def test_size_is_refused_from_the_header_alone(tmp_path, png, read):
    (tmp_path / "image.png").write_bytes(png(30000, 30000, bits=8, colour_type=2, rows=[b""]))
    with pytest.raises(BadImage, match="30000 x 30000") as caught:
        read(tmp_path / "image.png")
    assert caught.value.kind == "over-large"


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"<!DOCTYPE html><html></html>", 'the text "<!DOCTYPE html><"'),
        (b"\n\n", "the bytes 0a 0a"),
        (b"\x00\x01abc\xff", "the bytes 00 01 61 62 63 ff"),
    ],
)
def test_other_content_is_refused_with_how_it_starts(tmp_path, content, shown):
    (tmp_path / "image.jpg").write_bytes(content)
    with pytest.raises(BadImage) as caught:
        read_header(tmp_path / "image.jpg")
    assert caught.value.reason == f"it is not a BMP, GIF, JPEG, PNG, TIFF or WebP image: it starts with {shown}"


def test_missing_file_is_a_bad_image(tmp_path):
    with pytest.raises(BadImage, match="cannot be read: No such file or directory"):
        read_header(tmp_path / "gone.jpg")


@pytest.mark.parametrize(
    ("name", "header"),
    [("gray16.png", Header(256, 256, "I;16", 16)), ("cmyk.jpg", Header(256, 256, "CMYK", 8))],
)
def test_header_tells_mode_and_depth(shared, name, header):
    assert read_header(shared / "awkward_images" / name) == header


def test_only_an_animation_has_frames_after_the_first(shared):
    folder = shared / "awkward_images"
    assert read_header(folder / "animated.gif").has_frames
    assert not read_header(folder / "cmyk.jpg").has_frames


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE])
def test_a_failure_of_the_system_does_not_call_the_image_bad(tmp_path, png, number):
    path = tmp_path / "image.png"
    path.write_bytes(png(1, 1, bits=8, colour_type=0, rows=[b"\0"]))
    with pytest.raises(ReadFailure) as caught, opened(path, 100):
        raise OSError(number, os.strerror(number))
    assert not isinstance(caught.value, BadImage)
    assert str(caught.value) == f"{path}: it cannot be read: {os.strerror(number)}"


def test_exhausted_memory_does_not_call_the_image_bad(tmp_path, png):
    path = tmp_path / "image.png"
    path.write_bytes(png(1, 1, bits=8, colour_type=0, rows=[b"\0"]))
    with pytest.raises(MemoryError), opened(path, 100):
        raise MemoryError
