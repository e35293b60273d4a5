import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config.files import load_config
from cyclegan.training.accumulation import accumulate_gradients
from cyclegan.training.discriminator_losses import judge
from cyclegan.training.gradients import compute_gradients
from cyclegan.training.length import run_length
from cyclegan.training.loss_scaling import FIRST_SCALES, GROWTH_STEPS, MAX_SCALE, LossScale, adapt
from cyclegan.training.network_calls import watching
from cyclegan.training.state import build_state, snapshot
from cyclegan.training.step import build_gradients, build_step
from cyclegan.training.update import build_update

STRATEGY = tf.distribute.OneDeviceStrategy("/cpu:0")
RNG = np.random.default_rng(0)
COUNTERS = {"step", "samples", "skipped", "bad_streak"}


def prepared(precision, scales=FIRST_SCALES, **options):
    """A configuration and a new state. The weights are those of every other precision."""
    keys = {key.replace("__", "."): value for key, value in options.items()}
    config = load_config("smoke", list({"training.precision": precision, **keys}.items()))
    state = build_state(config, STRATEGY, run_length(config.training, 10, 1))
    if state.loss_scale:
        state.loss_scale.scales.assign(scales)
    return state, config


def step_of(state, config):
    gradients = build_gradients(state, config, STRATEGY, jit_compile=False)
    return tf.function(build_step(state, STRATEGY, gradients, build_update(state, config, jit_compile=False)))


def images():
    return tf.constant(RNG.uniform(-1, 1, (1, 32, 32, 3)), tf.float32)


def cosine(one, other):
    one, other = (np.concatenate([np.ravel(array) for array in arrays]).astype(float) for arrays in (one, other))
    return one @ other / np.sqrt((one @ one) * (other @ other))


def distance(one, other):
    """The length of the difference, relative to that of the first."""
    difference = [tf.subtract(*pair) for pair in zip(one, other, strict=True)]
    return float(tf.linalg.global_norm(difference) / tf.linalg.global_norm(one))


def gradients_in(precision, scales, *batch, **options):
    state, config = prepared(precision, scales, **options)
    return compute_gradients(state, config, *batch, tf.constant(0), 1)


def test_scaling_keeps_gradients_that_are_too_small_for_16_bits():
    # The generators learn from the discriminators alone, whose weights are so small that most of the gradients in the
    # images are below 6e-8, where 16 bits end.
    options = {"losses__cycle_weight_a": 0.0, "losses__cycle_weight_b": 0.0, "discriminator__normalization": "none"}
    options["discriminator__initializer_gain"] = 1e-3
    batch = (images(), images())
    exact, kept, lost = (
        gradients_in(precision, (scale,) * 3, *batch, **options).generators
        for precision, scale in (("float32", 1.0), ("mixed_float16", 2.0**15), ("mixed_float16", 1.0))
    )
    assert cosine(exact, kept) > 0.99
    assert not np.concatenate([np.ravel(gradient) for gradient in lost]).any()


PENALTIES = {"r1": {"losses__r1_weight": 5.0}, "wgan": {"losses__adversarial": "wgan_gp"}}


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_gradients_of_penalties_are_those_of_float32(penalty):
    """The gradient of a penalty differentiates twice. It is looked at without that of the loss, which is far larger."""
    real, fake = (tf.constant(RNG.uniform(-1, 1, (1, 96, 96, 3)), tf.float32) for _ in range(2))

    def gradient_of_penalty(precision, scale):
        options = {"discriminator__normalization": "none", "discriminator__num_layers": 3, **penalty}
        state, config = prepared(precision, discriminator__filters=16, **options)
        with watching(state.discriminator_variables, several=True) as gradient:
            seed = tf.constant([1, 2])
            judged = judge(
                state, config, state.discriminator_a, real, fake, seed, part=(0, 1), global_mean=tf.reduce_mean
            )
        return float(judged.penalty), gradient(judged.penalty, scale)

    exact, expected = gradient_of_penalty("float32", None)
    close, received = gradient_of_penalty("mixed_float16", tf.constant(FIRST_SCALES[2]))
    _, lost = gradient_of_penalty("mixed_float16", tf.constant(1.0))
    assert close == pytest.approx(exact, rel=0.02)
    assert distance(expected, received) < 0.03
    assert distance(expected, received) < distance(expected, lost)


@pytest.mark.parametrize("index", range(3))
def test_the_scale_that_was_too_large_is_halved_and_nothing_else_changes(index):
    scales = [2.0**8] * 3
    scales[index] = 2.0**100  # 16 bits end at 65504
    state, config = prepared("mixed_float16", scales, losses__r1_weight=1.0, discriminator__normalization="none")
    before = snapshot(state.named(STRATEGY))
    result = step_of(state, config)(images(), images())
    after = snapshot(state.named(STRATEGY))
    changed = {name for name in after if not np.array_equal(after[name], before[name])}
    assert not result.is_taken and not result.is_bad
    assert changed == COUNTERS - {"bad_streak"} | {"loss_scale/scales"}
    scales[index] = 2.0**99
    assert after["loss_scale/scales"].tolist() == scales


def test_a_step_is_bad_at_once_if_no_scale_touches_what_is_not_finite():
    state, config = prepared("mixed_float16")
    step = step_of(state, config)
    bad = images() * np.nan
    assert all(step(bad, bad).is_bad for _ in range(2))
    assert (int(state.skipped), int(state.bad_streak)) == (2, 2)
    assert state.loss_scale.scales.numpy().tolist() == list(FIRST_SCALES)


def test_a_step_is_bad_once_no_smaller_scale_can_help():
    state, config = prepared("mixed_float16", (2.0, 2.0, 2.0))
    own = build_gradients(state, config, STRATEGY, jit_compile=False)

    def spoiled(real_a, real_b):
        found = own(real_a, real_b)
        gradients = [gradient * np.nan for gradient in found.generators]
        return found._replace(generators=gradients, overflows=[tf.constant(1.0), *found.overflows[1:]])

    step = tf.function(build_step(state, STRATEGY, spoiled, build_update(state, config, jit_compile=False)))
    assert [bool(step(images(), images()).is_bad) for _ in range(3)] == [False, True, True]
    assert (int(state.skipped), int(state.bad_streak)) == (3, 2)
    assert state.loss_scale.scales.numpy().tolist() == [1.0, 2.0, 2.0]


def adapted(scale, age, has_overflown, is_taken):
    loss_scale = LossScale(tf.Variable([scale] * 3), tf.Variable([age] * 3, dtype=tf.int64))
    helps = adapt(loss_scale, tf.constant([has_overflown] * 3), tf.constant(is_taken))
    return float(loss_scale.scales[0]), int(loss_scale.ages[0]), bool(helps)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((8.0, 5, False, True), (8.0, 6, False)),
        ((8.0, 5, True, False), (4.0, 0, True)),
        ((8.0, 5, False, False), (8.0, 5, False)),
        ((8.0, GROWTH_STEPS - 1, False, True), (16.0, 0, False)),
        ((1.0, 5, True, False), (1.0, 0, False)),
        ((MAX_SCALE, GROWTH_STEPS - 1, False, True), (MAX_SCALE, 0, False)),
    ],
)
def test_a_scale_falls_with_an_overflow_and_grows_with_many_steps(before, after):
    assert adapted(*before) == after


def test_accumulated_and_recomputed_gradients_are_scaled_too():
    batch = [tf.concat([images(), images()], 0) for _ in range(2)]
    plain = {"training__batch_size": 2, "training__pool_size": 0}
    in_parts = {"training__accumulate_steps": 2, "training__recompute": True, "training__pool_size": 0}
    whole = gradients_in("mixed_float16", FIRST_SCALES, *batch, **plain)
    state, config = prepared("mixed_float16", **in_parts)
    parts = accumulate_gradients(state, config, *batch, tf.constant(0), 1)
    for name in ("generators", "discriminators"):
        assert cosine(getattr(whole, name), getattr(parts, name)) > 0.999


@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_trains_with_xla_and_without(jit_compile):
    state, config = prepared("mixed_float16", training__clip_norm=1.0, discriminator__spectral_norm=True)
    gradients = build_gradients(state, config, STRATEGY, jit_compile)
    step = tf.function(build_step(state, STRATEGY, gradients, build_update(state, config, jit_compile)))
    results = [step(images(), images()) for _ in range(3)]
    assert results[-1].is_taken
    assert {"loss_scale/generators", "loss_scale/discriminators", "loss_scale/penalties"} <= results[-1].metrics.keys()


def test_other_precisions_have_no_loss_scale():
    for precision in ("float32", "mixed_bfloat16"):
        state, _ = prepared(precision)
        assert state.loss_scale is None and not any(name.startswith("loss_scale") for name in state.named(STRATEGY))
