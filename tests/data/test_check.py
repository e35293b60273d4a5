import numpy as np
import pytest
from PIL import Image

from cyclegan.data.check import check_folder
from cyclegan.errors import UsageError


def noise(seed, height=40, width=40):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def found(report):
    return [(finding.path.as_posix(), finding.kind, finding.reason) for finding in report.findings]


def test_good_folder_has_counts_and_no_findings(tmp_path):
    for seed, name in enumerate(["trainA/0.png", "trainA/deep/1.jpg", "trainB/2.bmp", "testA/3.webp"]):
        save(noise(seed), tmp_path / name)
    (tmp_path / "testB").mkdir()
    (tmp_path / "elsewhere.png").touch()
    report = check_folder(tmp_path)
    assert report.counts == {"trainA": 2, "trainB": 1, "testA": 1, "testB": 0}
    assert report.findings == []


def test_plain_folder_is_counted_by_what_lies_directly_within(tmp_path):
    for seed, name in enumerate(["a.png", "x/b.png", "x/y/c.png"]):
        save(noise(seed), tmp_path / name)
    assert check_folder(tmp_path).counts == {".": 1, "x": 2}


def test_files_that_cannot_be_decoded_are_found(tmp_path):
    (tmp_path / "empty.png").touch()
    save(noise(0), tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    save(noise(1, 40, 50), tmp_path / "large.png")
    assert found(check_folder(tmp_path, max_pixels=1999)) == [
        ("cut.png", "truncated", "the file is truncated"),
        ("empty.png", "unreadable", "the file is empty"),
        ("large.png", "over-large", "it has 50 x 40 pixels, and at most 1,999 are allowed"),
    ]


def test_image_with_a_short_side_is_tiny(tmp_path):
    save(noise(0, 31, 100), tmp_path / "low.png")
    save(noise(1, 32, 32), tmp_path / "enough.png")
    assert found(check_folder(tmp_path)) == [
        ("low.png", "tiny", "it has 100 x 31 pixels, and a side is shorter than 32")
    ]
    assert check_folder(tmp_path, min_size=31).findings == []


def test_constant_images_are_found_and_not_compared(tmp_path):
    for name in ("a.png", "b.png"):
        save(Image.new("RGB", (40, 40), (1, 2, 3)), tmp_path / name)
    assert found(check_folder(tmp_path)) == [
        ("a.png", "constant", "all pixels are [1, 2, 3]"),
        ("b.png", "constant", "all pixels are [1, 2, 3]"),
    ]


def test_duplicates_are_found_across_splits_and_domains(tmp_path):
    for name in ("trainA/a.png", "trainA/b.png", "trainB/c.png", "testA/d.png", "testB/e.png"):
        save(noise(0), tmp_path / name)
    assert found(check_folder(tmp_path)) == [
        ("trainA/b.png", "duplicate", "it is the same image as trainA/a.png"),
        ("trainB/c.png", "duplicate", "it is the same image as trainA/a.png, across domains A and B"),
        ("testA/d.png", "duplicate", "it is the same image as trainA/a.png, across train and test"),
        (
            "testB/e.png",
            "duplicate",
            "it is the same image as trainA/a.png, across train and test, across domains A and B",
        ),
    ]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_same_pixels_in_another_encoding_are_duplicates(tmp_path, mode):
    grey = noise(0).convert("L")
    save(grey, tmp_path / "a.png")
    save(grey.convert(mode), tmp_path / "b.tiff")
    reason = "it is the same image as a.png (encoded differently)"
    assert found(check_folder(tmp_path)) == [("b.tiff", "duplicate", reason)]


def test_images_of_different_alpha_or_shape_are_no_duplicates(tmp_path):
    grey = noise(0).convert("L")
    save(grey, tmp_path / "grey.png")
    save(Image.merge("LA", (grey, grey)), tmp_path / "alpha.png")
    save(Image.frombytes("L", (32, 50), grey.tobytes()), tmp_path / "shape.png")
    assert check_folder(tmp_path).findings == []


def test_progress_counts_up_to_the_total(tmp_path):
    for seed in range(3):
        save(noise(seed), tmp_path / f"{seed}.png")
    calls = []
    check_folder(tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_folder_without_images_is_a_usage_error(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"holds no images. Formats looked for: \.bmp \.gif"):
        check_folder(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        check_folder(tmp_path / "missing")


def test_awkward_folder_is_reported_without_an_exception(shared):
    report = check_folder(shared / "awkward_images")
    kinds = {(finding.path.name, finding.kind) for finding in report.findings}
    assert report.counts == {".": 21, "nested": 3}
    assert kinds - {("bitflips.jpg", "unreadable")} == {
        ("bomb.png", "over-large"),
        ("empty.jpg", "unreadable"),
        ("one_pixel.png", "constant"),
        ("one_pixel.png", "tiny"),
        ("text.jpg", "unreadable"),
        ("tiny_3x5.png", "tiny"),
        ("truncated.jpg", "truncated"),
    }


@pytest.mark.slow
def test_known_duplicate_across_train_and_test_of_horse2zebra_is_found(shared):
    report = check_folder(shared / "data" / "horse2zebra_128")
    assert [(finding.path.as_posix(), finding.reason) for finding in report.findings if "test" in finding.reason] == [
        ("testA/n02381460_1160.jpg", "it is the same image as trainA/n02381460_3811.jpg, across train and test"),
    ]
    assert [finding.kind for finding in report.findings] == ["duplicate"] * 25
    assert report.counts == {"trainA": 1067, "trainB": 1334, "testA": 120, "testB": 140}
