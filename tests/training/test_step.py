import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config_files import load_config
from cyclegan.training.state import build_state
from cyclegan.training.step import METRICS, build_gradients, build_step, build_steps, compute_gradients

STRATEGY = tf.distribute.OneDeviceStrategy("/cpu:0")
RNG = np.random.default_rng(0)


def small_config(**overrides):
    return load_config("smoke", [(key.replace("__", "."), value) for key, value in overrides.items()])


def images(batch=1):
    return tf.constant(RNG.uniform(-1, 1, (batch, 32, 32, 3)), tf.float32)


def weights(state):
    variables = [*state.generator_variables, *state.discriminator_variables]
    return [variable.numpy() for variable in variables]


def metrics_of(gradients):
    return dict(zip(METRICS, gradients.metrics.numpy().tolist(), strict=True))


def test_gradients_change_nothing_and_a_step_changes_everything_once():
    config = small_config()
    state = build_state(config, STRATEGY, 10)
    before = weights(state)
    gradients = build_gradients(state, config, STRATEGY, jit_compile=False)
    gradients(images(), images())
    for one, other in zip(before, weights(state), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(state.step) == int(state.pool_a.count) == 0

    build_step(state, STRATEGY, gradients)(images(), images())
    assert all(np.any(one != other) for one, other in zip(before, weights(state), strict=True))
    assert int(state.step) == int(state.pool_a.count) == 1


def test_losses_are_those_of_the_paper_computed_with_numpy():
    config = small_config(losses__cycle_weight_a=7.0, losses__cycle_weight_b=3.0, training__precision="float64")
    state = build_state(config, STRATEGY, 10)
    real_a, real_b = (tf.cast(images(2), tf.float64) for _ in range(2))
    fake_b, fake_a = state.generator_ab(real_a), state.generator_ba(real_b)

    def absolute(x, y):
        return np.abs(x.numpy() - y.numpy()).mean()

    def square(x, target):
        return ((x.numpy() - target) ** 2).mean()

    expected = {
        "loss/generator_ab/adversarial": square(state.discriminator_b(fake_b), 1),
        "loss/generator_ab/cycle": 7 * absolute(real_a, state.generator_ba(fake_b)),
        "loss/generator_ab/identity": 3 * 0.5 * absolute(real_b, state.generator_ab(real_b)),
        "loss/generator_ba/adversarial": square(state.discriminator_a(fake_a), 1),
        "loss/generator_ba/cycle": 3 * absolute(real_b, state.generator_ab(fake_a)),
        "loss/generator_ba/identity": 7 * 0.5 * absolute(real_a, state.generator_ba(real_a)),
        "loss/discriminator_a": 0.5
        * (square(state.discriminator_a(real_a), 1) + square(state.discriminator_a(fake_a), 0)),
        "loss/discriminator_b": 0.5
        * (square(state.discriminator_b(real_b), 1) + square(state.discriminator_b(fake_b), 0)),
        "score/discriminator_a/real": state.discriminator_a(real_a).numpy().mean(),
        "score/discriminator_a/fake": state.discriminator_a(fake_a).numpy().mean(),
        "score/discriminator_b/real": state.discriminator_b(real_b).numpy().mean(),
        "score/discriminator_b/fake": state.discriminator_b(fake_b).numpy().mean(),
    }
    received = metrics_of(compute_gradients(state, config, real_a, real_b, tf.constant(0), 1))
    assert received == pytest.approx(expected, rel=1e-9)


def test_two_replicas_with_half_the_batch_each_sum_to_the_gradients_of_the_whole():
    config = small_config(training__precision="float64", training__pool_size=0)
    state = build_state(config, STRATEGY, 10)
    real_a, real_b = (tf.cast(images(2), tf.float64) for _ in range(2))
    whole = compute_gradients(state, config, real_a, real_b, tf.constant(0), 1)
    parts = [compute_gradients(state, config, real_a[i : i + 1], real_b[i : i + 1], tf.constant(i), 2) for i in (0, 1)]
    for name in ("generators", "discriminators", "metrics"):
        sums = tf.nest.map_structure(lambda x, y: x + y, *(getattr(part, name) for part in parts))
        for one, other in zip(tf.nest.flatten(sums), tf.nest.flatten(getattr(whole, name)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-12)


def test_without_identity_weight_the_identity_losses_are_zero():
    config = small_config(losses__identity_weight=0.0)
    state = build_state(config, STRATEGY, 10)
    metrics = metrics_of(compute_gradients(state, config, images(), images(), tf.constant(0), 1))
    assert metrics["loss/generator_ab/identity"] == metrics["loss/generator_ba/identity"] == 0


def test_the_bits_do_not_depend_on_how_many_steps_a_call_makes():
    batches = tf.data.Dataset.from_tensor_slices((tf.stack([images()] * 7), tf.stack([images()] * 7)))

    def train(*lengths):
        config = small_config()
        state = build_state(config, STRATEGY, 10)
        run = build_steps(
            build_step(state, STRATEGY, build_gradients(state, config, STRATEGY, jit_compile=False)),
            tf.float32,
        )
        iterator = iter(STRATEGY.experimental_distribute_dataset(batches))
        metrics = [run(iterator, tf.constant(length)).numpy() for length in lengths]
        return weights(state), np.concatenate(metrics)

    one_call, metrics_of_one = train(7)
    many_calls, metrics_of_many = train(1, 4, 2)
    np.testing.assert_array_equal(metrics_of_one, metrics_of_many)
    for one, other in zip(one_call, many_calls, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_every_precision_keeps_images_and_losses_in_float32(precision):
    config = small_config(training__precision=precision)
    state = build_state(config, STRATEGY, 10)
    gradients = compute_gradients(state, config, images(), images(), tf.constant(0), 1)
    assert gradients.metrics.dtype == gradients.pool_a.fakes.dtype == tf.float32
    assert np.isfinite(gradients.metrics).all()
    build_step(state, STRATEGY, build_gradients(state, config, STRATEGY, False))(images(), images())
    assert all(variable.value.dtype == tf.float32 for variable in state.generator_variables)
