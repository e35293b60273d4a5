"""Whole training trajectories of the PyTorch reference, repeated by the step that trains in production."""

import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config_files import load_config
from cyclegan.training.state import build_state
from cyclegan.training.step import METRICS, build_gradients, build_step

GOLDEN = pathlib.Path(os.environ.get("CYCLEGAN_GOLDEN_DIR", pathlib.Path(__file__).parents[3] / "shared" / "golden"))
CASES = sorted(path.parent.name for path in GOLDEN.glob("step_*/settings.json"))

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


def set_reference_weights(model, path):
    """Both sides list the weights in the order of the layers, kernel before bias."""
    with np.load(path) as arrays:
        values = [arrays[key] for key in arrays.files]
    model.set_weights([a.transpose(2, 3, 1, 0) if a.ndim == 4 else a for a in values])


@pytest.mark.skipif(not CASES, reason=f"no golden trajectories in {GOLDEN} (set CYCLEGAN_GOLDEN_DIR)")
@pytest.mark.parametrize("case", CASES)
def test_trajectory_in_float64(case):
    settings = json.loads((GOLDEN / case / "settings.json").read_text())
    config = load_config(
        None,
        [
            ("data.load_size", settings["size"]),
            ("data.crop_size", settings["size"]),
            ("generator.filters", settings["ngf"]),
            (
                "generator.num_blocks",
                int(settings["generator"].removeprefix("resnet_").removesuffix("blocks")),
            ),
            ("discriminator.filters", settings["ndf"]),
            ("discriminator.num_layers", settings["n_layers_D"]),
            ("losses.cycle_weight_a", settings["lambda_A"]),
            ("losses.cycle_weight_b", settings["lambda_B"]),
            ("losses.identity_weight", settings["lambda_identity"]),
            ("optimizer.learning_rate", settings["lr"]),
            ("optimizer.schedule", "constant"),
            ("training.batch_size", settings["batch"]),
            ("training.pool_size", settings["pool_size"]),
            ("training.precision", "float64"),
        ],
    )
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    state = build_state(config, strategy, steps_per_epoch=100)
    networks = {
        "G_A": state.generator_ab,
        "G_B": state.generator_ba,
        "D_A": state.discriminator_b,
        "D_B": state.discriminator_a,
    }
    for name, model in networks.items():
        set_reference_weights(model, GOLDEN / case / f"0_net_{name}.weights.npz")
    step = tf.function(build_step(state, strategy, build_gradients(state, config, strategy, jit_compile=False)))

    with np.load(GOLDEN / case / "steps.npz") as arrays:
        golden = {key: arrays[key] for key in arrays.files}
    for real_a, real_b, losses in zip(golden["real_a"], golden["real_b"], golden["losses"], strict=True):
        metrics = dict(
            zip(
                METRICS,
                step(tf.constant(real_a, tf.float64), tf.constant(real_b, tf.float64)).numpy(),
                strict=True,
            )
        )
        received = [metrics[LOSSES[str(name)]] for name in golden["loss_names"]]
        np.testing.assert_allclose(received, losses, rtol=1e-6)
    real_a, real_b = golden["real_a"][0].astype("float64"), golden["real_b"][0].astype("float64")
    np.testing.assert_allclose(state.generator_ab(real_a), golden["fake_b_after"], atol=1e-5)
    np.testing.assert_allclose(state.generator_ba(real_b), golden["fake_a_after"], atol=1e-5)
    np.testing.assert_allclose(state.discriminator_b(real_b), golden["scores_b_after"], atol=1e-5)
    np.testing.assert_allclose(state.discriminator_a(real_a), golden["scores_a_after"], atol=1e-5)
