"""Times three training steps: compiled, uncompiled, and the plain step of a typical port.

    python benchmarks/step.py                                  128 px, batch 1, 9 blocks, 64 filters
    python benchmarks/step.py --size 64 --filters 16 --rounds 9

The plain step does what tutorials do: it calls every network once for each image, has a tape for the generators and
another one for the discriminators, and an Adam of Keras for each network. The steps run alternately in one process, so
that a change of the machine's speed affects all of them. Medians are printed.
"""

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cyclegan.config.config import Config

Step = Callable[..., Any]
"""From a batch of domain A and one of domain B to the losses."""


@click.command()
@click.option("--size", default=128, help="Height and width of the images in pixels.")
@click.option("--batch", default=1, help="Number of images of each domain in a batch.")
@click.option("--blocks", default=9, help="Number of residual blocks of the generators.")
@click.option("--filters", default=64, help="Number of filters of all networks.")
@click.option("--rounds", default=5, help="Number of timed steps of each kind.")
def main(size: int, batch: int, blocks: int, filters: int, rounds: int) -> None:
    """Time three training steps of the same networks."""
    import numpy as np
    import tensorflow as tf

    from cyclegan.config.files import load_config
    from cyclegan.training.length import run_length
    from cyclegan.training.state import build_state
    from cyclegan.training.step import build_gradients, build_step
    from cyclegan.training.update import build_update

    tf.config.optimizer.set_experimental_options({"remapping": False})
    config = load_config(
        None,
        [
            ("data.load_size", size),
            ("data.crop_size", size),
            ("generator.num_blocks", blocks),
            ("generator.filters", filters),
            ("discriminator.filters", filters),
            ("training.batch_size", batch),
        ],
    )
    strategy = tf.distribute.OneDeviceStrategy("/gpu:0" if tf.config.list_physical_devices("GPU") else "/cpu:0")
    random = np.random.default_rng(0)
    images = [tf.constant(random.uniform(-1, 1, (batch, size, size, 3)), tf.float32) for _ in range(2)]

    steps: dict[str, Step] = {}
    for name, jit_compile in (("compiled", True), ("uncompiled", False)):
        state = build_state(config, strategy, run_length(config.training, 100, 1))
        gradients = build_gradients(state, config, strategy, jit_compile)
        steps[name] = tf.function(build_step(state, strategy, gradients, build_update(state, config, jit_compile)))
    steps["plain port"] = build_plain_step(config)

    for name, step in steps.items():
        start = time.perf_counter()
        step(*images)
        click.echo(f"{name}: first step {time.perf_counter() - start:.1f} s (tracing and compiling)")
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            tf.nest.map_structure(np.asarray, step(*images))
            seconds[name].append(time.perf_counter() - start)
    plain = statistics.median(seconds["plain port"])
    for name, values in seconds.items():
        median = statistics.median(values)
        click.echo(
            f"{name}: {median:.3f} s a step (from {min(values):.3f} to {max(values):.3f}),"
            f" {plain / median:.2f} times the speed of the plain port"
        )


def build_plain_step(config: "Config") -> Step:
    """Builds the step of a typical public port, for networks of the same size."""
    import keras
    import tensorflow as tf

    from cyclegan.networks.discriminators import build_discriminator
    from cyclegan.networks.generators import build_generator

    generator_ab, generator_ba = (build_generator(config.generator) for _ in range(2))
    discriminator_a, discriminator_b = (build_discriminator(config.discriminator) for _ in range(2))
    models = (generator_ab, generator_ba, discriminator_a, discriminator_b)
    optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in models]
    for model, optimizer in zip(models, optimizers, strict=True):
        optimizer.build(model.trainable_variables)

    def mean_square(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.square(x))

    def mean_absolute(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.abs(x))

    @tf.function  # type: ignore[untyped-decorator] # TensorFlow ships no types
    def step(real_a: tf.Tensor, real_b: tf.Tensor) -> tf.Tensor:
        with (
            tf.GradientTape(persistent=True) as generator_tape,
            tf.GradientTape(persistent=True) as discriminator_tape,
        ):
            fake_b, fake_a = generator_ab(real_a), generator_ba(real_b)
            cycled_a, cycled_b = generator_ba(fake_b), generator_ab(fake_a)
            same_a, same_b = generator_ba(real_a), generator_ab(real_b)
            cycle = 10 * (mean_absolute(real_a - cycled_a) + mean_absolute(real_b - cycled_b))
            losses = [
                mean_square(discriminator_b(fake_b) - 1) + cycle + 5 * mean_absolute(real_b - same_b),
                mean_square(discriminator_a(fake_a) - 1) + cycle + 5 * mean_absolute(real_a - same_a),
                (mean_square(discriminator_a(real_a) - 1) + mean_square(discriminator_a(fake_a))) / 2,
                (mean_square(discriminator_b(real_b) - 1) + mean_square(discriminator_b(fake_b))) / 2,
            ]
        tapes = (generator_tape, generator_tape, discriminator_tape, discriminator_tape)
        for model, optimizer, loss, tape in zip(models, optimizers, losses, tapes, strict=True):
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return tf.stack(losses)

    plain_step: Step = step
    return plain_step


if __name__ == "__main__":
    main()
