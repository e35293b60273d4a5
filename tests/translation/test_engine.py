import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cyclegan.errors import CycleganError


def test_interrupted_work_leaves_whole_files_and_is_continued(bundle, photos, tmp_path, images, translate):
    for number in range(40):
        images.save(photos / f"{number}.jpg", images.noise(64, 64))

    def interrupt(done: int, failed: int, total: int, speed: float) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        translate(bundle, photos, tmp_path / "out", progress=interrupt)
    kept = images.files_in(tmp_path / "out")
    assert 2 <= len(kept) < 40 and all(images.levels(tmp_path / "out" / name).shape == (64, 64, 3) for name in kept)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert sorted(f"{Path(name).stem}.png" for name in report["translated"]) == kept
    assert translate(bundle, photos, tmp_path / "out") == (40 - len(kept), len(kept), [])


def test_write_error_ends_the_work_in_one_line_and_keeps_what_is_done(bundle, photos, tmp_path, images, translate):
    images.save(photos / "a.png")
    images.save(photos / "b.png", images.noise(64, 64))
    images.save(photos / "c.png")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # 64 x 64 of noise needs more
    try:
        with pytest.raises(CycleganError) as error:
            translate(bundle, photos, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept = images.files_in(tmp_path / "out")
    assert str(error.value).startswith(f"{tmp_path / 'out' / 'b.png'} cannot be written: File too large. Translated")
    assert kept == ["a.png", "c.png"]  # of one size, and so of one batch
    assert translate(bundle, photos, tmp_path / "out") == (1, 2, [])


def test_images_of_many_sizes_are_translated_each_for_itself(bundle, photos, tmp_path, images, translate):
    """More images than are looked at ahead, their sizes mixed, and one graph for all."""
    sizes = [(8 + 4 * (number % 7), 8 + 4 * (number % 5)) for number in range(80)]
    for number, size in enumerate(sizes):
        images.save(photos / f"{number}.png", np.roll(images.noise(*size), number, axis=0))
    assert translate(bundle, photos, tmp_path / "out").num_translated == 80
    for number, size in list(enumerate(sizes))[::9]:
        expected = images.expected(bundle, "ab", np.roll(images.noise(*size), number, axis=0), *size)
        np.testing.assert_allclose(images.levels(tmp_path / "out" / f"{number}.png"), expected, atol=0.51)


@pytest.mark.slow
def test_devices_share_the_images(photos, tmp_path, images, make_bundle):
    """In a process of its own, because TensorFlow makes logical devices only at its start."""
    make_bundle(tmp_path / "bundle")
    for number in range(12):
        images.save(photos / f"{number}.png", images.noise(16, 16 + number))
    command = [sys.executable, "-m", "cyclegan", "translate", photos]
    options = ["--model", tmp_path / "bundle", "--direction", "ab", "--devices"]
    for devices in ("cpu", "cpu:2"):
        subprocess.run([*command, tmp_path / devices, *options, devices], check=True, timeout=200)
    for number in range(12):
        one, two = (images.levels(tmp_path / devices / f"{number}.png") for devices in ("cpu", "cpu:2"))
        np.testing.assert_allclose(one, two, atol=1)
