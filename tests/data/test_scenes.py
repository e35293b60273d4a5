import subprocess
import sys

import numpy as np

from cyclegan.data.scenes import draw_scene


def test_a_scene_is_a_pure_function_of_seed_and_index():
    program = (
        "import hashlib; from cyclegan.data.scenes import draw_scene; "
        "print(hashlib.sha256(b''.join(p.tobytes() for p in draw_scene(5, 9))).hexdigest())"
    )
    digests = {subprocess.check_output([sys.executable, "-c", program]) for _ in range(2)}
    draw_scene(5, 8)
    again = [picture.tobytes() for picture in draw_scene(5, 9)]
    assert len(digests) == 1
    assert again == [picture.tobytes() for picture in draw_scene(5, 9)]


def test_seed_and_index_both_change_the_scene():
    pictures = {draw_scene(seed, index).plain.tobytes() for seed in range(4) for index in range(10)}
    assert len(pictures) == 40


def test_shapes_and_types():
    scene = draw_scene(0, 0)
    assert [picture.shape for picture in scene] == [(64, 64, 3), (64, 64, 3), (64, 64)]
    assert all(picture.dtype == np.uint8 for picture in scene)


def test_only_the_animal_differs_between_the_domains():
    for index in range(30):
        scene = draw_scene(1, index)
        np.testing.assert_array_equal(scene.plain[scene.mask == 0], scene.striped[scene.mask == 0])
        assert np.mean(scene.plain[scene.mask == 255] != scene.striped[scene.mask == 255]) > 0.2


def test_the_mask_holds_enough_of_both_sides_to_measure():
    for index in range(100):
        mask = draw_scene(2, index).mask
        assert (mask == 255).sum() > 200
        assert (mask == 0).sum() > 2000


def test_stripes_have_several_times_the_contrast_of_a_plain_coat():
    plain, striped = [], []
    for index in range(60):
        scene = draw_scene(3, index)
        inside = scene.mask == 255
        plain.append((scene.plain[inside] / 255 @ [0.299, 0.587, 0.114]).std())
        striped.append((scene.striped[inside] / 255 @ [0.299, 0.587, 0.114]).std())
    assert np.median(striped) > 4 * np.median(plain)
    assert min(np.divide(striped, plain)) > 2


def test_the_coat_survives_under_the_stripes():
    """Between the stripes, the striped animal has the same pixels as the plain one."""
    for index in range(30):
        scene = draw_scene(4, index)
        unchanged = np.all(scene.plain == scene.striped, axis=-1) & (scene.mask == 255)
        assert unchanged.sum() > 0.2 * (scene.mask == 255).sum()


def test_animals_face_both_ways():
    """The neck and head put more of the animal's upper third on the side that it faces."""
    right = 0
    for index in range(60):
        mask = draw_scene(6, index).mask == 255
        rows = np.flatnonzero(mask.any(axis=1))
        head = np.argwhere(mask[rows[0] : rows[0] + 6])[:, 1].mean()
        right += head > np.argwhere(mask)[:, 1].mean()
    assert 10 < right < 50
