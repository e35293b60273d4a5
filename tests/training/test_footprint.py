import functools
import os

import tensorflow as tf

from cyclegan.config.files import load_config
from cyclegan.training.footprint import COMPILER_BYTES, REPLICA_BYTES, estimate_peak_bytes
from cyclegan.training.length import run_length
from cyclegan.training.state import build_state


@functools.cache
def estimate(*overrides):
    config = load_config("smoke", overrides)
    state = build_state(config, tf.distribute.OneDeviceStrategy("/cpu:0"), run_length(config.training, 1, 1))
    return estimate_peak_bytes(state, config, 1)


def test_the_estimate_grows_with_the_batch_size():
    assert estimate(("training.batch_size", 8)) > estimate()


def test_the_estimate_grows_by_the_images_of_both_pools():
    # 100 more images of 32 x 32 x 3 float32 in each of two pools.
    assert estimate(("training.pool_size", 105)) - estimate() >= 2 * 100 * 32 * 32 * 3 * 4


def test_the_estimate_grows_by_the_images_that_are_read():
    # Two images for each core, 18 bytes a pixel: 12 for RGB in float32, and half of that while it is made.
    added = 2 * os.cpu_count() * 18 * (2000**2 - 32**2)
    assert estimate(("data.load_size", 2000)) - estimate() == added


def test_the_memory_of_a_gpu_holds_no_images_that_are_read():
    config = load_config("smoke", [("data.load_size", 2000)])
    state = build_state(config, tf.distribute.get_strategy(), run_length(config.training, 1, 1))
    assert estimate_peak_bytes(state, config, 1, on_host=False) < estimate()


def test_each_further_replica_on_a_cpu_adds_its_part_of_the_graph():
    config = load_config("smoke")
    state = build_state(config, tf.distribute.get_strategy(), run_length(config.training, 1, 1))
    assert estimate_peak_bytes(state, config, 8) - estimate() > 7 * REPLICA_BYTES


def test_the_estimate_counts_the_compiler():
    assert estimate(("training.jit_compile", True)) - estimate() == COMPILER_BYTES
