"""What the benchmarks share that time two forms of the training step in turn."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

    from cyclegan.config.config import Config

RESAMPLES = 10_000


def describe_ratio(pairs: Sequence[tuple[float, float]]) -> str:
    """The median of the ratios first / second with its bootstrap interval, as text."""
    ratios = np.array([first / second for first, second in pairs])
    draws = np.random.default_rng(0).choice(ratios, (RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return f"{np.median(ratios):.3f}, 95 % interval {low:.3f} to {high:.3f}"


def prepare_step(size: int, blocks: int, filters: int) -> "tuple[Config, tf.distribute.Strategy, tf.data.Iterator]":
    """The configuration, the device and the batches of a step with one image of each domain, `size` pixels a side."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"remapping": False})
    strategy = tf.distribute.OneDeviceStrategy("/gpu:0" if tf.config.list_physical_devices("GPU") else "/cpu:0")
    random = np.random.default_rng(0)
    images = [tf.constant(random.uniform(-1, 1, (1, size, size, 3)), tf.float32) for _ in range(2)]
    batches = tf.data.Dataset.from_tensors(tuple(images)).repeat()
    return step_config(size, blocks, filters), strategy, iter(strategy.experimental_distribute_dataset(batches))


def step_config(size: int, blocks: int, filters: int, others: Mapping[str, object] = {}) -> "Config":
    """The configuration of a step on images of `size` pixels a side, with other keys that are to be set."""
    from cyclegan.config.files import load_config

    keys = {
        "data.load_size": size,
        "data.crop_size": size,
        "generator.num_blocks": blocks,
        "generator.filters": filters,
        "discriminator.filters": filters,
    }
    return load_config(None, list((keys | dict(others)).items()))
