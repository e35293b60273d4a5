"""What a training would be, without training."""

from collections.abc import Iterator

import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.config.files import dump_config
from cyclegan.data.batches import steps_per_epoch
from cyclegan.data.sources import Source
from cyclegan.networks.complexity import multiply_adds
from cyclegan.training.footprint import estimate_peak_bytes
from cyclegan.training.state import build_state, run_epochs, run_steps


def describe_run(config: Config, source: Source, strategy: tf.distribute.Strategy) -> Iterator[str]:
    """The resolved configuration, then counts and the memory that it needs, line by line."""
    num_replicas = strategy.num_replicas_in_sync
    global_batch = config.training.batch_size * num_replicas
    epoch_steps = steps_per_epoch(source, global_batch)
    epochs, decay_epochs = run_epochs(config, epoch_steps)
    yield dump_config(config).rstrip()
    yield f"# {global_batch} images of each domain a step, on {num_replicas} replica(s)"
    num_steps = run_steps(config, epoch_steps)
    yield f"# {epoch_steps} steps per epoch, {num_steps} steps in {epochs} epochs, {decay_epochs} of them decaying"
    state = build_state(config, strategy, epoch_steps)
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
    peak = estimate_peak_bytes(state, config, 1 if on_gpus else num_replicas)
    yield f"# about {peak / 1e9:.1f} GB of memory at the peak{' on each GPU' if on_gpus else ''}"
