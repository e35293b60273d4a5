"""Whole training trajectories of the PyTorch reference, repeated by the step that trains in production.

python tests/parity/test_trajectories.py FOLDER cpu:2      repeats one on other devices, in a process of its own
"""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config_files import load_config
from cyclegan.distribution import choose_devices
from cyclegan.interop.pytorch import set_reference_weights
from cyclegan.interop.reference_names import describe_discriminator, describe_generator
from cyclegan.training.gradients import METRICS
from cyclegan.training.state import build_state
from cyclegan.training.step import build_gradients, build_step

# The reference names a discriminator after the generator that it trains, and losses after generators.
LOSSES = {
    "G_A": "loss/generator_ab/adversarial",
    "cycle_A": "loss/generator_ab/cycle",
    "idt_A": "loss/generator_ab/identity",
    "G_B": "loss/generator_ba/adversarial",
    "cycle_B": "loss/generator_ba/cycle",
    "idt_B": "loss/generator_ba/identity",
    "D_A": "loss/discriminator_b",
    "D_B": "loss/discriminator_a",
}


COMPILED_AND_NOT = pytest.mark.parametrize(
    "jit_compile", [pytest.param(False, id="uncompiled"), pytest.param(True, id="compiled", marks=pytest.mark.slow)]
)


def load(path):
    with np.load(path) as arrays:
        return dict(arrays)


def config_of(settings, weights, precision, num_replicas):
    generator, channels_a, channels_b = describe_generator(weights["G_A"], "G_A")
    discriminator, _ = describe_discriminator(weights["D_A"])
    sections = (("generator", generator), ("discriminator", discriminator))
    return load_config(
        None,
        [
            *((f"{section}.{key}", value) for section, part in sections for key, value in part.model_dump().items()),
            ("data.load_size", settings["size"]),
            ("data.crop_size", settings["size"]),
            ("data.channels_a", channels_a),
            ("data.channels_b", channels_b),
            ("losses.cycle_weight_a", settings["lambda_A"]),
            ("losses.cycle_weight_b", settings["lambda_B"]),
            ("losses.identity_weight", settings["lambda_identity"]),
            ("optimizer.learning_rate", settings["lr"]),
            ("optimizer.beta_1", settings["beta1"]),
            ("optimizer.beta_2", settings["beta2"]),
            ("optimizer.epsilon", settings["eps"]),
            ("optimizer.schedule", "constant"),
            ("training.batch_size", settings["batch"] // num_replicas),
            ("training.pool_size", settings["pool_size"]),
            ("training.precision", precision),
        ],
    )


def nearest_kink(state, real_a, real_b):
    """Smallest absolute value that a (leaky) ReLU of any network sees in this step: below it rounding decides."""

    def smallest(network, image):
        norms = [layer.output for layer in network.layers if "norm" in layer.name]
        values = tf.nest.flatten(keras.Model(network.input, norms)(image)) if norms else []
        return min((float(tf.reduce_min(tf.abs(value))) for value in values), default=np.inf)

    fake_b, fake_a = state.generator_ab(real_a), state.generator_ba(real_b)
    return min(
        *(smallest(state.generator_ab, image) for image in (real_a, real_b, fake_a)),
        *(smallest(state.generator_ba, image) for image in (real_a, real_b, fake_b)),
        *(smallest(state.discriminator_a, image) for image in (real_a, fake_a)),
        *(smallest(state.discriminator_b, image) for image in (real_b, fake_b)),
    )


def repeat(case, strategy, precision="float64", jit_compile=False, look_for_kinks=False):
    """Largest differences: relative of the losses of the first 5 steps and of all, absolute of fakes and scores."""
    settings = json.loads((case / "settings.json").read_text())
    weights = {name: load(case / f"0_net_{name}.weights.npz") for name in ("G_A", "G_B", "D_A", "D_B")}
    config = config_of(settings, weights, precision, strategy.num_replicas_in_sync)
    state = build_state(config, strategy, steps_per_epoch=100)
    networks = {
        "G_A": (state.generator_ab, config.generator),
        "G_B": (state.generator_ba, config.generator),
        "D_A": (state.discriminator_b, config.discriminator),
        "D_B": (state.discriminator_a, config.discriminator),
    }
    for name, (model, section) in networks.items():
        set_reference_weights(model, weights[name], section, name)
    step = tf.function(build_step(state, config, strategy, build_gradients(state, config, strategy, jit_compile)))

    golden = load(case / "steps.npz")
    dtype = "float64" if precision == "float64" else "float32"
    batches = tf.data.Dataset.from_tensor_slices((golden["real_a"].astype(dtype), golden["real_b"].astype(dtype)))
    received, kinks = [], [np.inf]
    for real_a, real_b in strategy.experimental_distribute_dataset(batches):
        if look_for_kinks:
            kinks.append(nearest_kink(state, real_a, real_b))
        metrics = dict(zip(METRICS, step(real_a, real_b).numpy(), strict=True))
        received.append([metrics[LOSSES[str(name)]] for name in golden["loss_names"]])
    scale = np.where(golden["losses"] == 0, 1, np.abs(golden["losses"]))  # without identity loss it is exactly 0
    losses = np.abs(np.array(received) - golden["losses"]) / scale
    after = {
        "fake_b_after": state.generator_ab(golden["real_a"][0].astype(dtype)),
        "fake_a_after": state.generator_ba(golden["real_b"][0].astype(dtype)),
        "scores_b_after": state.discriminator_b(golden["real_b"][0].astype(dtype)),
        "scores_a_after": state.discriminator_a(golden["real_a"][0].astype(dtype)),
    }
    assert len(received) == len(golden["losses"]) == settings["steps"]
    return {
        "losses of the first 5 steps": float(losses[:5].max()),
        "losses": float(losses.max()),
        "nearest kink": min(kinks),
        "fakes and scores": float(max(np.abs(np.array(value) - golden[name]).max() for name, value in after.items())),
    }


@COMPILED_AND_NOT
def test_trajectory_in_float64(trajectory, jit_compile, figure):
    found = repeat(trajectory, tf.distribute.OneDeviceStrategy("/cpu:0"), jit_compile=jit_compile)
    figure("losses, relative, float64", found["losses"], limit=1e-6)
    figure("fakes and scores after, float64", found["fakes and scores"], limit=1e-5)


@COMPILED_AND_NOT
def test_first_steps_in_float32(trajectory, jit_compile, figure):
    """Within 1e-3; within 1e-2 where a value lies so near the kink of a ReLU that float32 can see it on either side.

    One pixel on the other side changes the gradient of a kernel by some percent. Which side it falls on depends on the
    order of the additions, and so on the processor.
    """
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    difference = repeat(trajectory, strategy, "float32", jit_compile)["losses of the first 5 steps"]
    what, limit = "losses of 5 steps, relative, float32", 1e-3
    if difference > limit:
        kink = repeat(trajectory, strategy, look_for_kinks=True)["nearest kink"]
        assert kink < 1e-6, f"no value nearer to a kink than {kink:.1e}, so rounding cannot excuse {difference:.1e}"
        what, limit = f"{what}, kink at {kink:.0e}", 1e-2
    figure(what, difference, limit)


@pytest.mark.slow
def test_trajectory_on_two_replicas(trajectory, figure):
    batch = json.loads((trajectory / "settings.json").read_text())["batch"]
    if batch % 2:
        pytest.skip(f"a batch of {batch} cannot be split over two replicas; other trajectories can")
    # Logical devices cannot be made where TensorFlow has started.
    command = [sys.executable, __file__, trajectory, "cpu:2"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=300).stdout)
    figure("losses, relative, float64, cpu:2", found["losses"], limit=1e-6)
    figure("fakes and scores after, float64, cpu:2", found["fakes and scores"], limit=1e-5)


if __name__ == "__main__":
    print(json.dumps(repeat(pathlib.Path(sys.argv[1]), choose_devices(sys.argv[2])[0])))
