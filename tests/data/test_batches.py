import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cyclegan.config.files import load_config
from cyclegan.data.batches import (
    DOMAIN_A,
    DOMAIN_B,
    Share,
    build_pipeline,
    build_readers,
    permutation,
)
from cyclegan.data.sources import Source
from cyclegan.errors import CycleganError


@pytest.fixture
def source(tmp_path):
    """Five images of domain A and three of B, each of one grey value: 10 * number, B from 100."""

    def write(name, count, base):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(count):
            Image.new("RGB", (12, 12), (base + 10 * number,) * 3).save(folder / f"{number}.png")
        return tuple(sorted(folder.iterdir()))

    return Source("grey", write("trainA", 5, 0), write("trainB", 3, 100), (), (), tmp_path)


def config(**data):
    settings = {"resize": "none", "crop_size": 12, **data}
    return load_config("smoke", [(f"data.{key}", value) for key, value in settings.items()]).data


def batches_of_steps(readers, first, last, global_batch=1):
    """The batches of the steps from `first` up to but not including `last`, on one replica."""
    share = Share(global_batch, 0, 1, global_batch)
    return build_pipeline(readers, "float32", first * global_batch, last - first, share)


def values(source, config, first, last, global_batch=1, report=print):
    """The grey values of the images in each step, of both domains."""
    pipeline = batches_of_steps(build_readers(source, config, 0, report), first, last, global_batch)
    batches = [tuple(np.round((x.numpy()[:, 0, 0, 0] + 1) * 127.5) for x in pair) for pair in pipeline]
    return np.array([a for a, _ in batches]), np.array([b for _, b in batches])


def test_permutation_holds_each_index_once_and_differs_by_seed_domain_and_epoch():
    orders = [permutation(s, d, e, 50).tolist() for s in (0, 1) for d in (0, 1) for e in (0, 1)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 8


def test_permutation_stays_the_same_with_every_version_of_numpy():
    """Or runs could not be continued after an update."""
    assert permutation(0, DOMAIN_A, 0, 8).tolist() == [0, 2, 1, 5, 4, 3, 6, 7]
    assert permutation(3, DOMAIN_B, 2, 8).tolist() == [0, 6, 2, 1, 3, 4, 7, 5]


def test_each_epoch_of_a_domain_shows_each_of_its_images_once(source):
    a, b = values(source, config(), 0, 15)
    for start in range(0, 15, 5):
        assert sorted(a[start : start + 5, 0]) == [0, 10, 20, 30, 40]
    for start in range(0, 15, 3):
        assert sorted(b[start : start + 3, 0]) == [100, 110, 120]


def test_each_epoch_has_an_order_of_its_own(source):
    a, _ = values(source, config(), 0, 10)
    assert a[:5].tolist() != a[5:10].tolist()


@pytest.mark.parametrize(("processes", "replicas"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_replicas_of_several_processes_share_the_global_batch(source, processes, replicas):
    """Replica r takes part r of the global batch, wherever it is."""
    smoke = load_config("smoke", [("data.load_size", 40)]).data
    readers = build_readers(source, smoke, 0, print)
    whole = list(batches_of_steps(readers, 3, 7, global_batch=4))
    batch = 4 // (processes * replicas)
    parts = [[] for _ in whole]
    for process in range(processes):
        share = Share(4, process * replicas * batch, replicas, batch)
        for number, pair in enumerate(build_pipeline(readers, "float32", 3 * 4, 4, share)):
            parts[number // replicas].append(pair)
    for expected, found in zip(whole, parts, strict=True):
        for domain in range(2):
            np.testing.assert_array_equal(expected[domain], np.concatenate([pair[domain] for pair in found]))


def test_batches_do_not_depend_on_where_the_pipeline_starts(source):
    smoke = load_config("smoke", [("data.load_size", 40)]).data
    whole = list(batches_of_steps(build_readers(source, smoke, 0, print), 0, 9, 2))
    rest = list(batches_of_steps(build_readers(source, smoke, 0, print), 4, 9, 2))
    for one, other in zip(whole[4:], rest, strict=True):
        for x, y in zip(one, other, strict=True):
            np.testing.assert_array_equal(x, y)


def test_samples_do_not_depend_on_the_batch_size(source):
    ones, _ = values(source, config(), 0, 12, global_batch=1)
    threes, _ = values(source, config(), 0, 4, global_batch=3)
    assert ones.ravel().tolist() == threes.ravel().tolist()


def test_a_broken_file_is_named_once_and_replaced_by_the_next_in_order(source):
    before, _ = values(source, config(), 0, 10)
    broken = source.train_a[2]  # grey value 20
    broken.write_bytes(broken.read_bytes()[:40])
    reports = []
    after, _ = values(source, config(), 0, 10, report=reports.append)
    assert len(reports) == 1 and str(broken) in reports[0]
    for epoch in (before[:5, 0], before[5:, 0]):
        position = epoch.tolist().index(20)
        expected = epoch.copy()
        expected[position] = epoch[(position + 1) % 5]
        assert any(expected.tolist() == part.tolist() for part in (after[:5, 0], after[5:, 0]))


def test_too_many_broken_files_end_the_run_with_their_limit(source):
    for path in source.train_b:
        path.write_bytes(b"")
    readers = build_readers(source, config(max_bad_images=1), 0, lambda line: None)
    with pytest.raises(Exception, match="max_bad_images"):
        list(batches_of_steps(readers, 0, 5))
    assert isinstance(readers[1].failure, CycleganError)
    assert "`data.max_bad_images` = 1" in str(readers[1].failure)


def test_a_domain_whose_images_are_all_broken_ends_the_run(source):
    """Also if they are fewer than `data.max_bad_images`."""
    for path in source.train_b:
        path.write_bytes(path.read_bytes()[:40])
    readers = build_readers(source, config(max_bad_images=10), 0, lambda line: None)
    with pytest.raises(tf.errors.OpError):
        list(batches_of_steps(readers, 0, 5))
    assert str(readers[1].failure).startswith("All training images of domain B are broken. The last image is ")


@pytest.fixture
def photos(tmp_path):
    """Two photos of each domain that are large enough for the cache."""
    rng = np.random.default_rng(0)
    for name in ("trainA/0.jpg", "trainA/1.jpg", "trainB/0.jpg", "trainB/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        rough = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        rough.resize((1400, 1050), Image.Resampling.BICUBIC).save(tmp_path / name)
    train_a, train_b = (tuple(sorted((tmp_path / part).iterdir())) for part in ("trainA", "trainB"))
    return Source("photos", train_a, train_b, (), (), tmp_path)


def batches_of(source, first, last, cache_dir, **data):
    readers = build_readers(source, config(resize="stretch", load_size=16, **data), 0, pytest.fail, cache_dir)
    return [[np.asarray(x) for x in pair] for pair in batches_of_steps(readers, first, last)]


def test_large_images_are_decoded_in_the_first_epoch_only(photos, tmp_path):
    first = batches_of(photos, 0, 4, tmp_path / "cache")
    for path in photos.train_a + photos.train_b:
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    np.testing.assert_array_equal(batches_of(photos, 0, 4, tmp_path / "cache"), first)


def test_batches_do_not_depend_on_the_cache(photos, tmp_path):
    without = batches_of(photos, 0, 6, None)
    np.testing.assert_array_equal(batches_of(photos, 0, 6, tmp_path / "off", cache_gib=0.0), without)
    assert not (tmp_path / "off").exists()
    batches_of(photos, 0, 3, tmp_path / "cache")
    np.testing.assert_array_equal(batches_of(photos, 3, 6, tmp_path / "cache"), without[3:])
