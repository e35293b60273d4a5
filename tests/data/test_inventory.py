import gzip
import hashlib
import os
import pathlib
import shutil

import pytest
from PIL import Image

from cyclegan.config.sections import DataConfig
from cyclegan.data.inventory import (
    TrainingImage,
    decode_inventory,
    encode_inventory,
    fingerprint,
    hold_back,
    recall_images,
    take_inventory,
)
from cyclegan.data.sources import Source, resolve_source, scan_headers
from cyclegan.errors import UsageError


def draw(path: pathlib.Path, seed: int = 0, side: int = 12) -> pathlib.Path:
    """A JPEG of noise, so that its size in bytes tells one from another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((side, side), 50 + seed).convert("RGB").save(path)
    return path


def images_of(folder: pathlib.Path) -> DataConfig:
    return DataConfig(dataset=str(folder))


def listed(config: DataConfig) -> Source:
    return resolve_source(config, pathlib.Path("/nowhere"), pytest.fail)


def held_back(folder: pathlib.Path, fraction: float) -> Source:
    config = DataConfig(dataset=str(folder), validation_fraction=fraction)
    return hold_back(listed(config), config)


def first_session(config: DataConfig) -> tuple[Source, tuple[TrainingImage, ...]]:
    source = listed(config)
    used = scan_headers(source, config.max_pixels, config.max_bad_images, lambda line: None)
    return used, take_inventory(source, used, config)


@pytest.fixture
def photos(tmp_path: pathlib.Path) -> pathlib.Path:
    """Four images of A, one of them in a folder and one broken, and two of B."""
    folder = tmp_path / "photos"
    for number, name in enumerate(
        ("trainA/0.jpg", "trainA/more/1.jpg", "trainA/2.jpg", "trainB/3.jpg", "trainB/4.jpg")
    ):
        draw(folder / name, number)
    (folder / "trainA" / "broken.jpg").write_bytes(b"not an image")
    return folder


def refusal(config: DataConfig, inventory: tuple[TrainingImage, ...]) -> str:
    with pytest.raises(UsageError) as error:
        recall_images(listed(config), inventory, config)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_inventory_names_each_image_with_its_size_and_what_was_left_out(photos):
    _, inventory = first_session(images_of(photos))
    sizes = {path.name: path.stat().st_size for path in photos.rglob("*.jpg")}
    assert inventory == (
        ("a", "0.jpg", sizes["0.jpg"], "training"),
        ("a", "2.jpg", sizes["2.jpg"], "training"),
        ("a", "broken.jpg", 12, "left out"),
        ("a", "more/1.jpg", sizes["1.jpg"], "training"),
        ("b", "3.jpg", sizes["3.jpg"], "training"),
        ("b", "4.jpg", sizes["4.jpg"], "training"),
    )


def test_an_inventory_comes_back_from_its_file_with_names_that_are_not_text():
    names = ("plain.png", "two\nlines.png", "gr\u00fc\u00df.png", os.fsdecode(b"\xff\xfe.png"))
    inventory = tuple(TrainingImage("a", name, number, "training") for number, name in enumerate(names))
    assert decode_inventory(encode_inventory(inventory)) == inventory


def test_the_file_of_an_inventory_depends_on_nothing_else():
    inventory = (TrainingImage("a", "1.png", 10, "training"),)
    assert encode_inventory(inventory) == encode_inventory(inventory)


@pytest.mark.parametrize("lines", [b"not gzip", b"\x1f\x8b"])
def test_a_damaged_file_is_a_value_error(lines):
    with pytest.raises(ValueError):
        decode_inventory(lines)


def test_the_fingerprint_is_made_of_the_names_and_sizes_of_the_images_that_are_used():
    inventory = [
        TrainingImage("b", "b.png", 4, "training"),
        TrainingImage("a", "deep/a.png", 3, "training"),
        TrainingImage("a", "broken.png", 7, "left out"),
    ]
    # Names and sizes in bytes, each ended by a zero byte, and each domain ended by one.
    expected = hashlib.sha256(b"deep/a.png\0" + b"3\0" + b"\0" + b"b.png\0" + b"4\0" + b"\0").hexdigest()
    assert fingerprint(inventory) == expected
    assert fingerprint([*inventory, TrainingImage("a", "c.png", 0, "training")]) != expected


def test_the_same_images_are_recalled_in_the_same_order(photos):
    used, inventory = first_session(images_of(photos))
    assert recall_images(listed(images_of(photos)), inventory, images_of(photos)) == used


def test_a_data_set_that_has_moved_has_the_same_images(photos, tmp_path):
    used, inventory = first_session(images_of(photos))
    moved = photos.rename(tmp_path / "elsewhere")
    recalled = recall_images(listed(images_of(moved)), inventory, images_of(moved))
    assert recalled.train_a == tuple(moved / path.relative_to(photos) for path in used.train_a)


def test_two_folders_that_have_moved_have_the_same_images(photos, tmp_path):
    def config(folder: pathlib.Path) -> DataConfig:
        a, b = (str(folder / name) for name in ("trainA", "trainB"))
        return DataConfig(domain_a=a, domain_b=b, test_fraction=0.5)

    used, inventory = first_session(config(photos))
    assert used.test_a or used.test_b
    moved = photos.rename(tmp_path / "elsewhere")
    recalled = recall_images(listed(config(moved)), inventory, config(moved))
    assert recalled.train_b == tuple(moved / path.relative_to(photos) for path in used.train_b)


def test_new_missing_and_changed_images_are_counted_and_the_first_is_named(photos):
    _, inventory = first_session(images_of(photos))
    first, second = draw(photos / "trainA" / "a.jpg"), draw(photos / "trainB" / "b.jpg")
    (photos / "trainA" / "more" / "1.jpg").unlink()
    draw(photos / "trainB" / "3.jpg", side=30)
    message = refusal(images_of(photos), inventory)
    assert f"2 new (the first: {first}), 1 missing (the first: {photos}/trainA/more/1.jpg)" in message
    assert f", 1 of another size (the first: {photos}/trainB/3.jpg). Put the former images back" in message
    for path in (first, second):
        path.unlink()
    assert "Received: 1 missing" in refusal(images_of(photos), inventory)


def test_the_same_number_of_other_images_is_refused(photos):
    _, inventory = first_session(images_of(photos))
    (photos / "trainA" / "0.jpg").rename(photos / "trainA" / "other.jpg")
    assert "1 new" in refusal(images_of(photos), inventory)


@pytest.mark.parametrize("kept", [0, 5, 2 / 3], ids=["empty", "no header", "truncated"])
def test_a_file_that_has_broken_keeps_its_place(photos, kept):
    used, inventory = first_session(images_of(photos))
    data = (photos / "trainA" / "2.jpg").read_bytes()
    (photos / "trainA" / "2.jpg").write_bytes(data[: int(kept * len(data)) if kept < 1 else kept])
    assert recall_images(listed(images_of(photos)), inventory, images_of(photos)) == used


def test_a_link_that_leads_nowhere_now_keeps_its_place(photos, tmp_path):
    link = photos / "trainA" / "2.jpg"
    link.rename(tmp_path / "target.jpg")
    link.symlink_to(tmp_path / "target.jpg")
    used, inventory = first_session(images_of(photos))
    (tmp_path / "target.jpg").unlink()
    assert recall_images(listed(images_of(photos)), inventory, images_of(photos)) == used


def test_a_broken_file_does_not_hide_that_another_has_changed(photos):
    _, inventory = first_session(images_of(photos))
    (photos / "trainA" / "0.jpg").write_bytes(b"")
    draw(photos / "trainB" / "4.jpg", side=30)
    assert f"2 of another size (the first: {photos}/trainA/0.jpg)" in refusal(images_of(photos), inventory)


@pytest.mark.parametrize("mend", [pathlib.Path.unlink, draw], ids=["deleted", "repaired"])
def test_a_file_that_was_left_out_stays_out(photos, mend):
    used, inventory = first_session(images_of(photos))
    mend(photos / "trainA" / "broken.jpg")
    assert recall_images(listed(images_of(photos)), inventory, images_of(photos)) == used


@pytest.fixture
def many(tmp_path: pathlib.Path) -> pathlib.Path:
    """Forty images of A and twenty of B, which nobody reads."""
    for split, number in (("trainA", 40), ("trainB", 20)):
        (tmp_path / "many" / split).mkdir(parents=True)
        for index in range(number):
            (tmp_path / "many" / split / f"{index:02d}.png").write_bytes(b"-" * index)
    return tmp_path / "many"


def test_a_part_of_each_domain_is_held_back(many):
    source = held_back(many, 0.2)
    sizes = [len(each) for each in (source.train_a, source.validation_a, source.train_b, source.validation_b)]
    assert sizes == [32, 8, 16, 4]
    assert sorted(source.train_a + source.validation_a) == sorted((many / "trainA").iterdir())
    assert list(source.train_a) == sorted(source.train_a) and list(source.validation_a) == sorted(source.validation_a)


def test_nothing_is_held_back_unless_asked(many):
    assert held_back(many, 0.0) == listed(images_of(many))


def test_the_digits_of_the_names_say_what_is_held_back(many):
    """So two files of one name in both domains, as pairs have, are held back together."""
    order = sorted((f"{index:02d}.png" for index in range(20)), key=lambda name: digest_of(f"validation\0{name}"))
    assert {path.name for path in held_back(many, 0.25).validation_b} == set(order[:5])


def digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def test_at_least_two_images_are_held_back(many):
    assert [len(held_back(many, 0.01).validation_a), len(held_back(many, 0.01).validation_b)] == [2, 2]


def test_too_few_images_to_hold_any_back_are_refused(photos):
    with pytest.raises(UsageError, match=r"must leave at least half.*Received: 0.1 of 2 images of domain B"):
        held_back(photos, 0.1)


def test_what_was_held_back_stays_so_and_does_not_count_as_training(many):
    config = DataConfig(dataset=str(many), validation_fraction=0.2)
    source = hold_back(listed(config), config)
    inventory = take_inventory(listed(config), source, config)
    assert sum(image.use == "validation" for image in inventory) == 12
    assert fingerprint(inventory) == fingerprint(image for image in inventory if image.use == "training")
    assert recall_images(listed(config), decode_inventory(encode_inventory(inventory)), config) == source


def test_an_inventory_of_an_earlier_version_can_be_read():
    lines = b'["a", "1.png", 10, false]\n["a", "2.png", 20, true]\n'
    assert decode_inventory(gzip.compress(lines)) == (("a", "1.png", 10, "training"), ("a", "2.png", 20, "left out"))


def test_test_images_may_change(photos):
    _, inventory = first_session(images_of(photos))
    shutil.copytree(photos / "trainA", photos / "testA")
    recalled = recall_images(listed(images_of(photos)), inventory, images_of(photos))
    assert len(recalled.test_a) == 4
