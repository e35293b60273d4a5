import numpy as np
import pytest
from PIL import Image

from cyclegan.config.sections import DataConfig
from cyclegan.evaluation.reading import fingerprint_of, read_batches


def test_an_image_that_cannot_be_read_is_left_out_and_named(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.new("RGB", (40, 40), (0, 100, 200)).save(path)
    paths[1].write_bytes(b"broken")
    lines = []
    batches = list(read_batches(paths, 3, DataConfig(crop_size=32, load_size=32), lines.append))
    assert [len(batch) for batch in batches] == [2]
    assert len(lines) == 1 and lines[0].startswith(f"Left out: {paths[1]}: ")


def test_images_are_cropped_in_the_middle(tmp_path):
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[:, 32:64] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    config = DataConfig(crop_size=32, load_size=32, resize="keep-aspect")
    (batch,) = read_batches([tmp_path / "wide.png"], 3, config, pytest.fail)
    assert batch.shape == (1, 32, 32, 3) and (batch == 1).all()


def test_the_fingerprint_depends_on_names_and_contents_but_not_on_the_place(tmp_path):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.png").write_bytes(b"content")
    one, two = (fingerprint_of([tmp_path / place / "a.png"]) for place in ("one", "two"))
    (tmp_path / "two" / "a.png").write_bytes(b"another")
    assert one == two != fingerprint_of([tmp_path / "two" / "a.png"])
