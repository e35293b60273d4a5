import numpy as np
import pytest

from cyclegan.data.scenes import draw_scene
from cyclegan.export.images import load_images


@pytest.mark.parametrize(("direction", "domain"), [("ab", "plain"), ("ba", "striped")])
def test_without_a_folder_the_scenes_are_of_the_domain_that_is_translated(bundle, direction, domain):
    (image,), source = load_images(None, 1, bundle.info, direction)
    drawn = getattr(draw_scene(0, 0), domain)
    np.testing.assert_allclose(image, drawn / 127.5 - 1, atol=1e-6)
    assert source == "built-in scenes"


def test_images_of_a_folder_are_held_at_the_size_that_is_wanted(bundle, photos):
    images, _ = load_images(photos, 4, bundle.info, "ab", (12, 20))
    assert [(image.shape, image.base) for image in images] == [((12, 20, 3), None)] * 4
