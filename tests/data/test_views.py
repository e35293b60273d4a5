import numpy as np
import pytest
from PIL import Image

from cyclegan.config.sections import DataConfig
from cyclegan.data.views import load_views, read_batches, read_views

CONFIG = DataConfig(crop_size=32, load_size=32)


@pytest.fixture
def paths(tmp_path):
    """Three grey images of 40 pixels, of which the second one is broken."""
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        Image.new("RGB", (40, 40), (10 * number,) * 3).save(path)
    paths[1].write_bytes(b"broken")
    return paths


def test_an_image_that_cannot_be_read_is_left_out_and_named(paths):
    lines = []
    views = list(read_views(paths, 3, CONFIG, lines.append))
    np.testing.assert_allclose([(view[0, 0, 0] + 1) * 127.5 for view in views], [0, 20], atol=1e-4)
    assert len(lines) == 1 and lines[0].startswith(f"Left out: {paths[1]}: ")


def test_images_are_cropped_in_the_middle(tmp_path):
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[:, 32:64] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    (view,) = read_views([tmp_path / "wide.png"], 3, CONFIG.model_copy(update={"resize": "keep-aspect"}))
    assert view.shape == (32, 32, 3) and (view == 1).all()


def test_the_first_images_that_can_be_read_are_loaded(paths):
    assert load_views(paths, 2, 3, CONFIG).shape == (2, 32, 32, 3)
    assert load_views(paths[1:], 1, 1, CONFIG).shape == (1, 32, 32, 1)
    assert load_views((), 2, 3, CONFIG).shape == (0, 32, 32, 3)


def test_batches_hold_at_most_eight_images(paths):
    batches = list(read_batches(9 * paths[:1], 3, CONFIG, pytest.fail))
    assert [batch.shape for batch in batches] == [(8, 32, 32, 3), (1, 32, 32, 3)]
