import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config.files import load_config
from cyclegan.training.gradients import compute_gradients
from cyclegan.training.length import run_length
from cyclegan.training.state import build_state

RNG = np.random.default_rng(4)
KINDS = {
    "plain": {},
    "dropout": {"generator__dropout": 0.5},
    "batch normalization": {"generator__normalization": "batch"},
    "identity now and then": {"losses__identity_every_steps": 2},
    "unet": {"generator__architecture": "unet", "generator__num_levels": 5},
}


def gradients(state, config, real_a, real_b, **options):
    @tf.function(autograph=False, **options)
    def compute():
        return compute_gradients(state, config, real_a, real_b, tf.constant(0), 1)

    return compute()


def build(**options):
    keys = {"training.precision": "float64"} | {key.replace("__", "."): value for key, value in options.items()}
    config = load_config("smoke", list(keys.items()))
    images = (tf.constant(RNG.uniform(-1, 1, (2, 32, 32, 3))) for _ in range(2))
    return build_state(config, tf.distribute.get_strategy(), run_length(config.training, 10, 2)), config, *images


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_recomputed_gradients_and_statistics_are_the_kept_ones(options):
    state, kept, *images = build(**options)
    training = kept.training.model_copy(update={"recompute": True})
    recomputed = kept.model_copy(update={"training": training})
    expected, received = gradients(state, kept, *images), gradients(state, recomputed, *images)
    for one, other in zip(tf.nest.flatten(expected), tf.nest.flatten(received), strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-12)


def test_xla_compiles_recomputed_gradients():
    state, config, *images = build(training__recompute=True)
    plain, compiled = gradients(state, config, *images), gradients(state, config, *images, jit_compile=True)
    for one, other in zip(plain.generators, compiled.generators, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-12)
