"""Whole training trajectories of the PyTorch reference, repeated by the step that trains in production.

python tests/parity/test_trajectories.py FOLDER cpu:2      repeats one on other devices, in a process of its own
"""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config.files import load_config
from cyclegan.interop.reference_names import describe_discriminator, describe_generator
from cyclegan.interop.reference_weights import set_reference_weights
from cyclegan.runtime.devices import choose_devices
from cyclegan.training.length import run_length
from cyclegan.training.state import build_state
from cyclegan.training.step import build_gradients, build_step
from cyclegan.training.update import build_update

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


def prepare(case, strategy, precision, jit_compile):
    """The state before the first step, its gradients and its step, and the golden values of a case."""
    settings = json.loads((case / "settings.json").read_text())
    weights = {name: load(case / f"0_net_{name}.weights.npz") for name in ("G_A", "G_B", "D_A", "D_B")}
    config = config_of(settings, weights, precision, strategy.num_replicas_in_sync)
    state = build_state(config, strategy, run_length(config.training, 100, 1))
    networks = {
        "G_A": (state.generator_ab, config.generator),
        "G_B": (state.generator_ba, config.generator),
        "D_A": (state.discriminator_b, config.discriminator),
        "D_B": (state.discriminator_a, config.discriminator),
    }
    for name, (model, section) in networks.items():
        set_reference_weights(model, weights[name], section, name)
    gradients = build_gradients(state, config, strategy, jit_compile)
    golden = load(case / "steps.npz")
    assert len(golden["losses"]) == len(golden["real_a"]) == settings["steps"]
    step = build_step(state, strategy, gradients, build_update(state, config, jit_compile))
    return state, gradients, tf.function(step), golden


def relative_difference(metrics, golden, step):
    """Largest relative difference of the losses of one step."""
    received = np.array([metrics[LOSSES[str(name)]] for name in golden["loss_names"]])
    expected = golden["losses"][step]
    scale = np.where(expected == 0, 1, np.abs(expected))  # without identity loss it is exactly 0
    return float((np.abs(received - expected) / scale).max())


def repeat(case, strategy, precision="float64", jit_compile=False):
    """Largest differences: of the losses of each step, relative, and of the fakes and scores after the last."""
    state, _, step, golden = prepare(case, strategy, precision, jit_compile)
    dtype = "float64" if precision == "float64" else "float32"
    batches = tf.data.Dataset.from_tensor_slices((golden["real_a"].astype(dtype), golden["real_b"].astype(dtype)))
    losses = [
        relative_difference(step(real_a, real_b).metrics, golden, number)
        for number, (real_a, real_b) in enumerate(strategy.experimental_distribute_dataset(batches))
    ]
    after = {
        "fake_b_after": state.generator_ab(golden["real_a"][0].astype(dtype)),
        "fake_a_after": state.generator_ba(golden["real_b"][0].astype(dtype)),
        "scores_b_after": state.discriminator_b(golden["real_b"][0].astype(dtype)),
        "scores_a_after": state.discriminator_a(golden["real_a"][0].astype(dtype)),
    }
    return losses, float(max(np.abs(np.array(value) - golden[name]).max() for name, value in after.items()))


def repeat_each_step_in_float32(case, strategy, jit_compile):
    """Relative differences of the losses in float32, each step from the weights that float64 has come to."""
    leader, _, lead, golden = prepare(case, strategy, "float64", False)
    state, gradients, _, _ = prepare(case, strategy, "float32", jit_compile)
    gradients = tf.function(gradients)
    losses = []
    for number, images in enumerate(zip(golden["real_a"], golden["real_b"], strict=True)):
        for network, model in zip(state.networks, leader.networks, strict=True):
            network.set_weights(model.get_weights())
        metrics = gradients(*(tf.constant(image, tf.float32) for image in images)).metrics
        losses.append(relative_difference(metrics, golden, number))
        lead(*(tf.constant(image, tf.float64) for image in images))
    return losses


def one_cpu():
    """Not at the import: a process that is to have two must ask for them before anything else."""
    return tf.distribute.OneDeviceStrategy("/cpu:0")


@COMPILED_AND_NOT
def test_trajectory_in_float64(trajectory, jit_compile, figure):
    losses, after = repeat(trajectory, one_cpu(), jit_compile=jit_compile)
    figure("losses, relative, float64", max(losses), limit=1e-6)
    figure("fakes and scores after, float64", after, limit=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True], ids=["uncompiled", "compiled"])
def test_first_steps_in_float32(trajectory, jit_compile, figure):
    """Within 1e-3, as long as rounding moves no pixel across the kink of a ReLU or of the absolute error.

    One such pixel changes the gradient of a kernel by some percent, and the losses of later steps by thousandths. It
    depends on the order of additions, and so on the processor, whether it happens. Then each step for itself, from the
    weights that float64 has come to, must agree the better.
    """
    losses, _ = repeat(trajectory, one_cpu(), "float32", jit_compile)
    difference, what = max(losses[:5]), "losses of 5 steps, relative, float32"
    if difference <= 1e-3:
        figure(what, difference, limit=1e-3)
        return
    figure(f"{what}, at a kink", difference, limit=1e-2)
    each = repeat_each_step_in_float32(trajectory, one_cpu(), jit_compile)
    figure("losses of each step alone, relative, float32", max(each[:5]), limit=1e-4)


@pytest.mark.slow
def test_trajectory_on_two_replicas(trajectory, figure):
    batch = json.loads((trajectory / "settings.json").read_text())["batch"]
    if batch % 2:
        pytest.skip(f"a batch of {batch} cannot be split over two replicas; other trajectories can")
    # Logical devices cannot be made where TensorFlow has started.
    command = [sys.executable, __file__, trajectory, "cpu:2"]
    output = subprocess.run(command, check=True, capture_output=True, timeout=300).stdout
    losses, after = json.loads(output)
    figure("losses, relative, float64, cpu:2", max(losses), limit=1e-6)
    figure("fakes and scores after, float64, cpu:2", after, limit=1e-5)


if __name__ == "__main__":
    print(json.dumps(repeat(pathlib.Path(sys.argv[1]), choose_devices(sys.argv[2])[0])))
