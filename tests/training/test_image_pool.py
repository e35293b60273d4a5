import numpy as np
import tensorflow as tf

from cyclegan.training.image_pool import ImagePool


def images(*values):
    return tf.reshape(tf.constant(values, tf.float32), [-1, 1, 1, 1])


def exchange(pool, fakes, seed):
    returned, update = pool.query(fakes, tf.constant([seed, 1]))
    images, count = pool.updated(update)
    pool.images.assign(images)
    pool.count.assign(count)
    return returned.numpy().ravel().tolist()


def test_pool_returns_its_input_until_it_is_full():
    pool = ImagePool(3, (1, 1, 1))
    assert exchange(pool, images(1, 2), 0) == [1, 2]
    assert exchange(pool, images(3), 1) == [3]
    assert pool.images.numpy().ravel().tolist() == [1, 2, 3]
    assert int(pool.count) == 3


def test_pool_of_size_zero_returns_its_input():
    pool = ImagePool(0, (1, 1, 1))
    assert exchange(pool, images(1, 2), 0) == [1, 2]


def test_a_query_alone_changes_nothing():
    pool = ImagePool(2, (1, 1, 1))
    pool.query(images(1, 2), tf.constant([0, 0]))
    assert int(pool.count) == 0
    assert not pool.images.numpy().any()


def test_a_full_pool_keeps_or_exchanges_each_image_and_loses_none():
    pool = ImagePool(4, (1, 1, 1))
    exchange(pool, images(1, 2, 3, 4), 0)
    exchanged = 0
    for step in range(200):
        before = pool.images.numpy().ravel().tolist()
        new = float(10 + step)
        (returned,) = exchange(pool, images(new), step)
        after = pool.images.numpy().ravel().tolist()
        assert sorted([*after, returned]) == sorted([*before, new])
        exchanged += returned != new
    # Binomial(200, 1/2): outside 65..135 with a probability below 1e-6; the seeds are fixed in any case.
    assert 65 < exchanged < 135


def test_images_of_one_batch_go_through_the_pool_one_after_the_other():
    """A pool of one image: whatever is returned, the others stay in the order in which they came."""
    for seed in range(20):
        pool = ImagePool(1, (1, 1, 1))
        returned = exchange(pool, images(1, 2, 3, 4), seed)
        held = 1.0
        assert returned[0] == 1
        for new, back in zip((2.0, 3.0, 4.0), returned[1:], strict=True):
            assert back in (new, held)
            if back == held:
                held = new
        assert pool.images.numpy().item() == held


def test_compiled_and_plain_queries_draw_the_same():
    pool = ImagePool(3, (2, 2, 1))
    pool.images.assign(np.arange(12, dtype="float32").reshape(3, 2, 2, 1))
    pool.count.assign(3)
    fakes = tf.fill([4, 2, 2, 1], 99.0)
    for seed in range(5):
        plain, _ = pool.query(fakes, tf.constant([seed, 2]))
        compiled, _ = tf.function(pool.query, jit_compile=True)(fakes, tf.constant([seed, 2]))
        np.testing.assert_array_equal(plain, compiled)
