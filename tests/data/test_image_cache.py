import errno
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from cyclegan.data.decoding import Pixels
from cyclegan.data.image_cache import ImageCache

RNG = np.random.default_rng(0)


def image(size: int = 8, dtype: type = np.uint8) -> Pixels:
    return Pixels(RNG.integers(0, 100, (size, size, 3)).astype(dtype), 16 if dtype == np.uint16 else 8)


def cache(folder: pathlib.Path, max_bytes: int = 10**6, report=pytest.fail) -> ImageCache:
    return ImageCache(folder, max_bytes, report)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_an_image_comes_back_in_its_depth_also_in_another_process(tmp_path, dtype):
    kept = image(dtype=dtype)
    cache(tmp_path / "new").write("key", kept)
    read = cache(tmp_path / "new").read("key")
    assert read is not None and read.bits == kept.bits and read.values.dtype == dtype
    np.testing.assert_array_equal(read.values, kept.values)


def test_another_key_is_another_image(tmp_path):
    cache(tmp_path).write("key", image())
    assert cache(tmp_path).read("key 2") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_is_dropped(tmp_path, damage):
    images = cache(tmp_path)
    images.write("key", image(size=50))
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"cut": data[:-40], "flipped": data, "empty": b"", "other": b"not a zip file"}[damage])
    assert images.read("key") is None
    assert not path.exists()


def test_a_full_cache_says_so_once_and_keeps_what_it_has(tmp_path):
    lines: list[str] = []
    first = image(size=20)
    images = cache(tmp_path, max_bytes=2500, report=lines.append)  # an image has 1200 bytes, and 500 around it
    for number, pixels in enumerate([first, image(size=20), image(size=20)]):
        images.write(str(number), pixels)
    assert len(lines) == 1 and str(tmp_path) in lines[0] and "`data.cache_gib`" in lines[0]
    assert len(list(tmp_path.iterdir())) == 1
    np.testing.assert_array_equal(images.read("0").values, first.values)


def test_files_of_an_earlier_run_count(tmp_path):
    cache(tmp_path).write("earlier", image(size=20))
    lines: list[str] = []
    cache(tmp_path, max_bytes=2500, report=lines.append).write("later", image(size=20))
    assert len(lines) == 1


def test_a_folder_that_cannot_be_made_switches_it_off_with_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    lines: list[str] = []
    images = cache(tmp_path / "file" / "images", report=lines.append)
    images.write("1", image())
    images.write("2", image())
    assert images.read("1") is None
    assert len(lines) == 1 and os.strerror(errno.ENOTDIR) in lines[0] and "\n" not in lines[0]


def test_a_disk_that_refuses_the_bytes_switches_it_off_with_one_line(tmp_path):
    """A limit on the size of files stands for a full disk: writing fails in the middle of a file."""
    program = (
        "import pathlib, resource, signal, sys, numpy as np\n"
        "from cyclegan.data.decoding import Pixels\n"
        "from cyclegan.data.image_cache import ImageCache\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "images = ImageCache(pathlib.Path(sys.argv[1]), 10**6, print)\n"
        "for key in '12':\n"
        "    images.write(key, Pixels(np.zeros((50, 50, 3), np.uint8), 8))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"The cache of images in {tmp_path} takes no more images: {os.strerror(errno.EFBIG)}.\n"
    assert not list(tmp_path.iterdir())


def test_threads_that_write_the_same_image_do_not_disturb_each_other(tmp_path):
    images, pixels = cache(tmp_path), image(size=60)
    threads = [threading.Thread(target=images.write, args=("key", pixels)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(images.read("key").values, pixels.values)


def test_the_bound_counts_what_other_runs_add(tmp_path):
    lines: list[str] = []
    mine, other = (cache(tmp_path, max_bytes=9000, report=lines.append) for _ in range(2))
    mine.write("mine 0", image(size=20))  # an image has 1200 bytes, and 500 around it
    for number in range(3):
        other.write(f"other {number}", image(size=20))
    for number in range(1, 3):
        mine.write(f"mine {number}", image(size=20))
    assert len(list(tmp_path.iterdir())) == 5 and len(lines) == 1
