import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config.files import load_config
from cyclegan.training.length import run_length
from cyclegan.training.state import build_state, snapshot
from cyclegan.training.step import build_gradients, build_step, gradients_of
from cyclegan.training.update import build_update

RNG = np.random.default_rng(3)
STRATEGY = tf.distribute.OneDeviceStrategy("/cpu:0")
BATCH = 4
KINDS = {
    "plain": {},
    "identity now and then": {"losses__identity_every_steps": 2},
    "R1": {"losses__r1_weight": 10.0},
    "WGAN-GP": {"losses__adversarial": "wgan_gp"},
    "penalty on weights": {"generator__l2": 0.01, "discriminator__l1": 0.01},
    "pool off": {"training__pool_size": 0},
}


def config(parts, **options):
    keys = {"training.batch_size": BATCH // parts, "training.accumulate_steps": parts, "training.precision": "float64"}
    keys |= {key.replace("__", "."): value for key, value in options.items()}
    return load_config("smoke", list(keys.items()))


def images():
    return tf.constant(RNG.uniform(-1, 1, (BATCH, 32, 32, 3)))


def new_state(one):
    return build_state(one, STRATEGY, run_length(one.training, 10, BATCH))


def gradients(state, one, real_a, real_b, jit_compile=False):
    @tf.function(jit_compile=jit_compile, autograph=False)
    def compute():
        return gradients_of(one)(state, one, real_a, real_b, tf.constant(0), 1)

    return compute()


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_parts_sum_to_the_gradients_of_the_whole_batch(options, parts):
    whole = config(1, **options)
    state = new_state(whole)
    state.pool_a.images.assign(tf.random.stateless_normal(state.pool_a.images.shape, [1, 2], dtype=tf.float64))
    state.pool_a.count.assign(state.pool_a.size - 2 if state.pool_a.size else 0)  # it fills, then exchanges
    real_a, real_b = images(), images()
    expected = gradients(state, whole, real_a, real_b)
    received = gradients(state, config(parts, **options), real_a, real_b)
    for one, other in zip(
        tf.nest.flatten(expected._replace(pool_a=(), pool_b=())),
        tf.nest.flatten(received._replace(pool_a=(), pool_b=())),
        strict=True,
    ):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-12)
    for pool, own, other in (
        (state.pool_a, expected.pool_a, received.pool_a),
        (state.pool_b, expected.pool_b, received.pool_b),
    ):
        for value, same in zip(pool.updated(own), pool.updated(other), strict=True):
            np.testing.assert_allclose(same, value, rtol=0, atol=1e-12)


def test_xla_compiles_the_parts():
    one = config(2)
    state = new_state(one)
    real_a, real_b = images(), images()
    plain = gradients(state, one, real_a, real_b)
    for value, same in zip(plain.generators, gradients(state, one, real_a, real_b, True).generators, strict=True):
        np.testing.assert_allclose(same, value, rtol=0, atol=1e-12)


def test_statistics_go_from_part_to_part():
    one = config(2, discriminator__spectral_norm=True)
    state = new_state(one)
    real_a, real_b = images(), images()
    received = gradients(state, one, real_a, real_b)
    by_hand = gradients(state, config(1, discriminator__spectral_norm=True), real_a[:2], real_b[:2])
    for variable, value in zip(state.statistics, by_hand.statistics, strict=True):
        variable.assign(value)
    by_hand = gradients(state, config(1, discriminator__spectral_norm=True), real_a[2:], real_b[2:])
    for value, same in zip(by_hand.statistics, received.statistics, strict=True):
        np.testing.assert_allclose(same, value, rtol=0, atol=1e-12)


def test_dropout_draws_for_each_part_anew():
    half = images()[:2]
    twice = tf.concat([half, half], 0)
    one = config(2, generator__dropout=0.5)
    fakes = gradients(new_state(one), one, twice, twice).pool_a.fakes
    assert np.abs(fakes[:2] - fakes[2:]).max() > 1e-3


def test_a_step_of_parts_counts_all_images():
    one = config(2)
    state = new_state(one)
    parts = (build_gradients(state, one, STRATEGY, False), build_update(state, one, False))
    step = tf.function(build_step(state, STRATEGY, *parts))
    step(images(), images())
    assert (int(state.step), int(state.samples), int(state.pool_a.count)) == (1, BATCH, BATCH)


def test_clipping_scales_the_summed_gradient_of_each_kind_of_network_to_the_norm():
    def change(kind, limit):
        one = config(1, optimizer__name="sgd", optimizer__learning_rate=1.0, training__clip_norm=limit)
        state = new_state(one)
        before = snapshot({str(i): v.value for i, v in enumerate(getattr(state, kind))})
        update = build_update(state, one, False)(gradients(state, one, real_a, real_b))
        after = update.generators if kind == "generator_variables" else update.discriminators
        return np.concatenate([(v.numpy() - before[str(i)]).ravel() for i, v in enumerate(after)])

    real_a, real_b = images(), images()
    for kind in ("generator_variables", "discriminator_variables"):
        free = change(kind, None)
        norm = np.linalg.norm(free)
        np.testing.assert_allclose(change(kind, norm / 4), free / 4, rtol=0, atol=1e-12)
        np.testing.assert_allclose(change(kind, norm * 4), free, rtol=0, atol=1e-12)
