"""A description of a training that does not take place."""

from collections.abc import Iterator

import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.config.files import dump_config
from cyclegan.data.sources import Source
from cyclegan.networks.complexity import multiply_adds
from cyclegan.training.footprint import estimate_peak_bytes
from cyclegan.training.length import run_length
from cyclegan.training.schedules import describe_rate
from cyclegan.training.state import build_state


def describe_run(config: Config, source: Source, strategy: tf.distribute.Strategy) -> Iterator[str]:
    """The resolved configuration, then the counts of a run and the memory that it needs, line by line."""
    num_replicas = strategy.num_replicas_in_sync
    global_batch = config.training.replica_batch * num_replicas
    length = run_length(config.training, source.epoch_size, global_batch)
    yield from dump_config(config).splitlines()
    parts = config.training.accumulate_steps
    in_parts = f", in {parts} parts on each" if parts > 1 else ""
    yield f"# {_count(global_batch, 'image')} of each domain a step, on {_count(num_replicas, 'replica')}{in_parts}"
    yield (
        f"# {_count(length.steps_per_epoch, 'step')} per epoch, {_count(length.num_steps, 'step')} in"
        f" {_count(length.num_epochs, 'epoch')}; {describe_rate(config.optimizer, length)}"
    )
    # One replica stands for all: the graph of a step reads image pools, which only a replica can do.
    state = build_state(config, tf.distribute.get_strategy(), length)
    yield (
        f"# {state.generator_ab.count_params():,} parameters in each generator,"
        f" {state.discriminator_a.count_params():,} in each discriminator"
    )
    size = config.data.crop_size
    gmac_generator, gmac_discriminator = (
        multiply_adds(network, size, size) / 1e9 for network in (state.generator_ab, state.discriminator_a)
    )
    yield (
        f"# {gmac_generator:.3g} GMAC (10^9 multiply-adds) for an image through a generator,"
        f" {gmac_discriminator:.3g} through a discriminator"
    )
    on_gpus = "GPU" in strategy.extended.worker_devices[0].upper()
    peak = estimate_peak_bytes(state, config, 1 if on_gpus else num_replicas, on_host=not on_gpus)
    yield f"# about {peak / 1e9:.1f} GB of memory at the peak{' on each GPU' if on_gpus else ''}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
