"""Times a training step with the more expensive options, as ratios to a step with the default ones.

    python benchmarks/options.py                                   128 px, batch 1, 6 blocks, 32 filters
    python benchmarks/options.py --size 64 --rounds 9 generator.upsampling=nearest losses.adversarial=wgan_gp

The steps run alternately in one process, so that a change of the machine's speed affects all of them.
"""

import statistics
import time

import click

OPTIONS = [
    "generator.architecture=unet,generator.num_levels=6",
    "generator.normalization=batch",
    "generator.normalization=group",
    "generator.upsampling=nearest",
    "generator.upsampling=bilinear",
    "generator.upsampling=subpixel",
    "generator.downsampling=max",
    "generator.downsampling=blur",
    "generator.downsampling=stochastic",
    "generator.dropout=0.5",
    "discriminator.architecture=pixel",
    "discriminator.architecture=multiscale",
    "discriminator.spectral_norm=true",
    "losses.adversarial=wgan_gp",
    "losses.r1_weight=1",
    "losses.r1_weight=1,losses.r1_every_steps=16",
    "losses.identity_weight=0",
    "losses.identity_every_steps=4",
    "training.ema_decay=0.999",
]


@click.command()
@click.argument("options", nargs=-1)
@click.option("--size", default=128, help="Height and width of the images in pixels.")
@click.option("--blocks", default=6, help="Number of residual blocks of the generators.")
@click.option("--filters", default=32, help="Number of filters of all networks.")
@click.option("--rounds", default=32, help="Number of timed steps with each of OPTIONS.")
def main(options: tuple[str, ...], size: int, blocks: int, filters: int, rounds: int) -> None:
    """Time a step for each of OPTIONS. Each of them is one KEY=VALUE, or several with commas between them."""
    import numpy as np
    import tensorflow as tf

    from cyclegan.config.files import load_config, parse_override
    from cyclegan.training.length import run_length
    from cyclegan.training.state import build_state
    from cyclegan.training.step import build_gradients, build_step
    from cyclegan.training.update import build_update

    tf.config.optimizer.set_experimental_options({"remapping": False})
    base = [
        ("data.load_size", size),
        ("data.crop_size", size),
        ("generator.num_blocks", blocks),
        ("generator.filters", filters),
        ("discriminator.filters", filters),
    ]
    strategy = tf.distribute.OneDeviceStrategy("/gpu:0" if tf.config.list_physical_devices("GPU") else "/cpu:0")
    random = np.random.default_rng(0)
    images = [tf.constant(random.uniform(-1, 1, (1, size, size, 3)), tf.float32) for _ in range(2)]

    steps = {}
    for name in ("default", *(options or OPTIONS)):
        overrides = [] if name == "default" else [parse_override(text) for text in name.split(",")]
        config = load_config(None, base + overrides)
        state = build_state(config, strategy, run_length(config.training, 100, 1))
        gradients = build_gradients(state, config, strategy, jit_compile=False)
        update = build_update(state, config, jit_compile=False)
        steps[name] = tf.function(build_step(state, strategy, gradients, update))
    for step in steps.values():
        step(*images)  # Traces. All states exist by now: building one sets a seed, which clears TensorFlow's caches.
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            tf.nest.map_structure(np.asarray, step(*images))  # waits for the device
            seconds[name].append(time.perf_counter() - start)
    default = seconds["default"]
    click.echo(f"default: {statistics.median(default):.3f} s a step")
    for name, values in seconds.items():
        # Work that is done in some steps only affects the mean, but not the median.
        ratios = (measure(values) / measure(default) for measure in (statistics.median, statistics.mean))
        click.echo("{}: {:.2f} by the medians, {:.2f} by the means".format(name, *ratios))


if __name__ == "__main__":
    main()
