import re

import numpy as np
import pytest
import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.config.files import load_config
from cyclegan.errors import UsageError
from cyclegan.training.gradients import compute_gradients
from cyclegan.training.length import run_length
from cyclegan.training.state import State, build_state, snapshot
from cyclegan.training.step import (
    build_gradients,
    build_step,
    build_steps,
    commit,
    is_step_finite,
    new_pools,
)
from cyclegan.training.update import build_update

STRATEGY = tf.distribute.OneDeviceStrategy("/cpu:0")
RNG = np.random.default_rng(0)


def small_config(**overrides):
    return load_config("smoke", [(key.replace("__", "."), value) for key, value in overrides.items()])


def new_state(config):
    return build_state(config, STRATEGY, run_length(config.training, 10, 1))


def whole_step(state: State, config: Config):
    """The step as it is trained, uncompiled."""
    gradients = build_gradients(state, config, STRATEGY, jit_compile=False)
    return tf.function(build_step(state, STRATEGY, gradients, build_update(state, config, jit_compile=False)))


def images(batch=1):
    return tf.constant(RNG.uniform(-1, 1, (batch, 32, 32, 3)), tf.float32)


def weights(state):
    variables = [*state.generator_variables, *state.discriminator_variables]
    return [variable.numpy() for variable in variables]


def metrics_of(gradients):
    return {name: float(value) for name, value in gradients.metrics.items()}


def test_gradients_change_nothing_and_a_step_changes_everything_once():
    config = small_config()
    state = new_state(config)
    before = weights(state)
    gradients = build_gradients(state, config, STRATEGY, jit_compile=False)
    gradients(images(), images())
    for one, other in zip(before, weights(state), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(state.step) == int(state.pool_a.count) == 0

    whole_step(state, config)(images(), images())
    assert all(np.any(one != other) for one, other in zip(before, weights(state), strict=True))
    assert int(state.step) == int(state.pool_a.count) == 1


def test_losses_are_those_of_the_paper_computed_with_numpy():
    config = small_config(losses__cycle_weight_a=7.0, losses__cycle_weight_b=3.0, training__precision="float64")
    state = new_state(config)
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
        "penalty/discriminator_a/gradient": 0,
        "penalty/discriminator_b/gradient": 0,
        "penalty/generators/weights": 0,
        "penalty/discriminators/weights": 0,
    }
    received = metrics_of(compute_gradients(state, config, real_a, real_b, tf.constant(0), 1))
    assert {tag: received[tag] for tag in expected} == pytest.approx(expected, rel=1e-9)


def test_two_replicas_with_half_the_batch_each_sum_to_the_gradients_of_the_whole():
    config = small_config(training__precision="float64", training__pool_size=0)
    state = new_state(config)
    real_a, real_b = (tf.cast(images(2), tf.float64) for _ in range(2))
    whole = compute_gradients(state, config, real_a, real_b, tf.constant(0), 1)
    parts = [compute_gradients(state, config, real_a[i : i + 1], real_b[i : i + 1], tf.constant(i), 2) for i in (0, 1)]
    for name in ("generators", "discriminators", "metrics"):
        sums = tf.nest.map_structure(lambda x, y: x + y, *(getattr(part, name) for part in parts))
        for one, other in zip(tf.nest.flatten(sums), tf.nest.flatten(getattr(whole, name)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-12)


def test_without_identity_weight_the_identity_losses_are_zero():
    config = small_config(losses__identity_weight=0.0)
    state = new_state(config)
    metrics = metrics_of(compute_gradients(state, config, images(), images(), tf.constant(0), 1))
    assert metrics["loss/generator_ab/identity"] == metrics["loss/generator_ba/identity"] == 0


def test_the_bits_do_not_depend_on_how_many_steps_a_call_makes():
    batches = tf.data.Dataset.from_tensor_slices((tf.stack([images()] * 7), tf.stack([images()] * 7)))

    def train(*lengths):
        config = small_config()
        state = new_state(config)
        run = build_steps(whole_step(state, config), state, tf.float32, 1)
        iterator = iter(STRATEGY.experimental_distribute_dataset(batches))
        calls = [run(iterator, tf.constant(length))[0].metrics for length in lengths]
        return weights(state), {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}

    one_call, metrics_of_one = train(7)
    many_calls, metrics_of_many = train(1, 4, 2)
    np.testing.assert_equal(metrics_of_one, metrics_of_many)
    for one, other in zip(one_call, many_calls, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_every_precision_keeps_images_and_losses_in_float32(precision):
    config = small_config(training__precision=precision)
    state = new_state(config)
    gradients = compute_gradients(state, config, images(), images(), tf.constant(0), 1)
    assert {value.dtype for value in gradients.metrics.values()} == {gradients.pool_a.fakes.dtype} == {tf.float32}
    assert np.isfinite(list(gradients.metrics.values())).all()
    whole_step(state, config)(images(), images())
    assert all(variable.value.dtype == tf.float32 for variable in state.generator_variables)


# One value of each building block at a time, and groups of those that meet in the code.
UNET = {"generator__architecture": "unet", "generator__num_levels": 3}
LARGER = {"data__load_size": 48, "data__crop_size": 48}
BLOCKS = [
    *({"generator__normalization": name} for name in ("batch", "group", "layer", "none")),
    *({"discriminator__normalization": name} for name in ("batch", "group", "layer", "none")),
    {"generator__affine": True, "discriminator__affine": True},
    *(
        {"generator__activation": name, "discriminator__activation": name}
        for name in ("relu", "leaky_relu", "prelu", "elu", "gelu", "sigmoid", "tanh")
    ),
    *(
        {"generator__downsampling": name, "discriminator__downsampling": name, "discriminator__num_layers": 2}
        for name in ("max", "average", "stochastic", "blur")
    ),
    *({"generator__upsampling": name} for name in ("nearest", "bilinear", "subpixel")),
    *({"generator__padding": name} for name in ("replicate", "zero")),
    {"generator__output": "sigmoid"},
    *(
        {"generator__initializer": name, "discriminator__initializer": name, "generator__initializer_gain": 0.5}
        for name in ("glorot", "he", "orthogonal")
    ),
    {"generator__dropout": 0.5, "discriminator__dropout": 0.3},
    {"generator__l1": 1e-4, "generator__l2": 1e-4, "discriminator__l1": 1e-4, "discriminator__l2": 1e-4},
    UNET,
    {"generator__architecture": "unet", "generator__num_levels": 5, "generator__normalization": "batch"},
    {**UNET, "generator__downsampling": "blur", "generator__upsampling": "bilinear"},
    {**UNET, "generator__downsampling": "stochastic", "generator__upsampling": "subpixel"},
    {"data__channels_a": 1, "data__channels_b": 4, "losses__identity_weight": 0.0},
    {**UNET, "data__channels_a": 4, "data__channels_b": 1, "losses__identity_weight": 0.0},
    {"discriminator__architecture": "pixel"},
    {"discriminator__architecture": "multiscale"},
    {"discriminator__architecture": "multiscale", "discriminator__num_scales": 3, "discriminator__spectral_norm": True},
    {"discriminator__spectral_norm": True, "discriminator__normalization": "none", "losses__adversarial": "hinge"},
    *({"discriminator__num_layers": number, **LARGER} for number in (2, 3, 4)),
    *({"losses__adversarial": name} for name in ("vanilla", "hinge", "wgan_gp")),
    {"losses__r1_weight": 1.0, "losses__r1_every_steps": 2, "discriminator__architecture": "multiscale"},
    {"losses__label_smoothing": 0.1, "losses__adversarial": "vanilla"},
    {"losses__identity_every_steps": 2, "generator__normalization": "batch", "generator__dropout": 0.5},
    {"losses__identity_fading": True},
    {"training__ema_decay": 0.9},
    *({"optimizer__name": name} for name in ("adamw", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta")),
    *({"optimizer__schedule": name} for name in ("constant", "cosine", "step")),
    {"optimizer__schedule": "plateau", "data__validation_fraction": 0.5},
]


def trained_two_steps(config):
    """State after two steps of two images, the metrics of both, and the sizes of each gradient."""
    state = new_state(config)
    metrics, sizes = [], []
    for _ in range(2):
        size, channels = config.data.crop_size, (config.data.channels_a, config.data.channels_b)
        real_a, real_b = (tf.constant(RNG.uniform(-1, 1, (2, size, size, c)), tf.float32) for c in channels)
        gradients = compute_gradients(state, config, real_a, real_b, tf.constant(0), 1)
        update = build_update(state, config, jit_compile=False)(gradients)
        commit(state, gradients, update, new_pools(state, gradients))
        metrics.append(list(metrics_of(gradients).values()))
        sizes.append([float(tf.reduce_max(tf.abs(g))) for g in gradients.generators + gradients.discriminators])
    return state, np.array(metrics), np.array(sizes)


def assert_trains(config):
    state, metrics, sizes = trained_two_steps(config)
    variables = [*state.generator_variables, *state.discriminator_variables]
    assert np.isfinite(metrics).all() and np.isfinite(sizes).all()
    assert all(np.isfinite(variable.numpy()).all() for variable in variables)
    untouched = {v.path for v, size in zip(variables, sizes.max(axis=0), strict=True) if size == 0}
    # Real images pull at the last bias as hard as fakes, with these two as long as no score is beyond its margin.
    if config.losses.adversarial in ("hinge", "wgan_gp"):
        untouched = {path for path in untouched if not path.endswith("scores/bias")}
    assert not untouched


@pytest.mark.parametrize("options", BLOCKS, ids=lambda options: ",".join(f"{k}={v}" for k, v in options.items()))
def test_every_block_trains_every_weight(options):
    assert_trains(small_config(**options))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_random_combinations_train_every_weight(seed):
    """Each from all blocks at once, those left out that contradict each other."""
    chosen = {}
    for index in np.random.default_rng(seed).permutation(len(BLOCKS)):
        try:
            small_config(**chosen, **{key: value for key, value in BLOCKS[index].items() if key not in chosen})
        except UsageError:
            continue
        chosen = {**BLOCKS[index], **chosen}
    assert len(chosen) > 20
    assert_trains(small_config(**chosen))


def test_every_block_that_can_be_configured_is_among_those_that_are_trained():
    """A new value is one line in a table and one in `BLOCKS`."""
    for section, keys in (
        ("generator", "architecture normalization activation downsampling upsampling padding output initializer"),
        ("discriminator", "architecture normalization activation downsampling initializer"),
        ("losses", "adversarial"),
        ("optimizer", "name schedule"),
    ):
        for key in keys.split():
            annotation = type(getattr(Config(), section)).model_fields[key].annotation
            values = set(re.findall(r"'(\w+)'", str(annotation)))
            trained = {options.get(f"{section}__{key}", getattr(getattr(Config(), section), key)) for options in BLOCKS}
            assert values, f"{section}.{key}"
            assert values <= trained, f"{section}.{key}"


NOISY = {
    "generator__normalization": "batch",
    "generator__dropout": 0.5,
    "discriminator__spectral_norm": True,
    "discriminator__dropout": 0.3,
    "discriminator__downsampling": "stochastic",
    "losses__adversarial": "wgan_gp",
}


def test_random_gradients_are_pure_and_differ_between_steps_and_replicas():
    config = small_config(**NOISY)
    state = new_state(config)
    real_a, real_b = images(), images()

    @tf.function
    def compute(replica):
        return compute_gradients(state, config, real_a, real_b, replica, 1).metrics

    def metrics(replica=0):
        return {name: float(value) for name, value in compute(tf.constant(replica)).items()}

    everything = [*state.statistics, *state.random_states]
    before = [variable.numpy() for variable in everything]
    first = metrics()
    assert metrics() == first
    for variable, value in zip(everything, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert metrics(replica=1) != first
    state.step.assign_add(1)
    assert metrics() != first


def test_a_step_updates_the_statistics():
    state, _, _ = trained_two_steps(small_config(**NOISY))
    named = {variable.path: variable.numpy() for variable in state.statistics}
    assert {path.rpartition("/")[2] for path in named} == {"moving_mean", "moving_variance", "vector"}
    assert all(np.any(value != 0) for path, value in named.items() if path.endswith("moving_mean"))


def test_batch_norm_never_mixes_domains_nor_real_images_with_fakes():
    config = small_config(
        generator__normalization="batch", discriminator__normalization="batch", training__precision="float64"
    )
    state = new_state(config)
    real_a, real_b = (tf.cast(images(2), tf.float64) for _ in range(2))
    received = metrics_of(compute_gradients(state, config, real_a, real_b, tf.constant(0), 1))
    same_b = state.generator_ab(real_b, training=True)
    assert received["loss/generator_ab/identity"] == pytest.approx(5 * np.abs(same_b - real_b).mean(), rel=1e-9)
    scores = state.discriminator_a(real_a, training=True)
    assert received["score/discriminator_a/real"] == pytest.approx(float(np.mean(scores)), rel=1e-9)


def metrics_of_steps(number, **options):
    """The metrics of the first steps of one sample each, nothing updated but the counters."""
    config = small_config(**options)
    state = new_state(config)
    real_a, real_b = images(), images()
    compute = tf.function(lambda: compute_gradients(state, config, real_a, real_b, tf.constant(0), 1).metrics)
    found = []
    for step in range(number):
        state.step.assign(step)
        state.samples.assign(step)
        found.append({name: float(value) for name, value in compute().items()})
    return found


@pytest.mark.parametrize(
    "tag,options,every",
    [
        ("loss/generator_ab/identity", {}, "losses__identity_every_steps"),
        ("penalty/discriminator_a/gradient", {"losses__r1_weight": 2.0}, "losses__r1_every_steps"),
    ],
)
def test_every_kth_step_has_k_times_the_loss_and_the_others_none(tag, options, every):
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state
    (always,) = metrics_of_steps(1, **options)
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state
    seldom = [metrics[tag] for metrics in metrics_of_steps(4, **options, **{every: 3})]
    assert always[tag] > 0
    assert seldom == pytest.approx([3 * always[tag], 0, 0, 3 * always[tag]], rel=1e-5)


def test_a_fading_identity_weight_falls_linearly_to_zero_at_the_end_of_the_run():
    values = [m["loss/generator_ba/identity"] for m in metrics_of_steps(20, losses__identity_fading=True)]
    np.testing.assert_allclose(values, values[0] * (1 - np.arange(20) / 20), rtol=1e-5)  # the preset has 20 steps


def test_label_smoothing_moves_the_target_of_real_images_alone():
    config = small_config(losses__label_smoothing=0.2, training__precision="float64", training__pool_size=0)
    state = new_state(config)
    real_a, real_b = (tf.cast(images(2), tf.float64) for _ in range(2))
    received = metrics_of(compute_gradients(state, config, real_a, real_b, tf.constant(0), 1))
    real, fake = state.discriminator_a(real_a), state.discriminator_a(state.generator_ba(real_b))
    expected = 0.5 * (np.mean((real - 0.8) ** 2) + np.mean(fake**2))
    assert received["loss/discriminator_a"] == pytest.approx(float(expected), rel=1e-9)


def test_the_r1_penalty_is_that_of_finite_differences():
    config = small_config(losses__r1_weight=3.0, training__precision="float64", discriminator__normalization="none")
    state = new_state(config)
    real_a, real_b = (tf.cast(images(), tf.float64) for _ in range(2))
    received = metrics_of(compute_gradients(state, config, real_a, real_b, tf.constant(0), 1))

    def mean_score(image):
        return float(np.mean(state.discriminator_a(image)))

    # Along its own direction the gradient's length is the directional derivative.
    with tf.GradientTape() as tape:
        tape.watch(real_a)
        score = tf.reduce_mean(state.discriminator_a(real_a))
    direction = tape.gradient(score, real_a)
    direction /= tf.norm(direction)
    length = (mean_score(real_a + 1e-5 * direction) - mean_score(real_a - 1e-5 * direction)) / 2e-5
    assert received["penalty/discriminator_a/gradient"] == pytest.approx(3.0 * length**2 / 2, rel=1e-4)


def test_weight_penalties_add_their_gradient_to_that_of_the_kernels_alone():
    real_a, real_b = images(), images()

    def gradients_of(**options):
        config = small_config(**options)
        state = new_state(config)
        return state, compute_gradients(state, config, real_a, real_b, tf.constant(0), 1)

    state, penalised = gradients_of(generator__l1=0.1, generator__l2=0.01)
    _, plain = gradients_of()
    for variable, with_, without in zip(state.generator_variables, penalised.generators, plain.generators, strict=True):
        w = variable.numpy()
        expected = 0.1 * np.sign(w) + 0.02 * w if variable.name == "kernel" else np.zeros_like(w)
        np.testing.assert_allclose(with_ - without, expected, atol=2e-5)
    for with_, without in zip(penalised.discriminators, plain.discriminators, strict=True):
        np.testing.assert_allclose(with_, without, atol=1e-6)
    kernels = [v.numpy() for v in state.generator_variables if v.name == "kernel"]
    expected = sum(0.1 * np.abs(w).sum() + 0.01 * (w**2).sum() for w in kernels)
    assert metrics_of(penalised)["penalty/generators/weights"] == pytest.approx(expected, rel=1e-5)


def test_averages_follow_the_generators_and_are_what_is_used_after_training():
    config = small_config(training__ema_decay=0.3)
    state = new_state(config)
    step = whole_step(state, config)
    expected = [weight.numpy() for weight in state.generator_ab.weights]
    for number in range(1, 5):
        step(images(), images())
        decay = min(0.3, (1 + number) / (10 + number))  # 2/11, 3/12, 4/13, then 0.3
        expected = [
            decay * mean + (1 - decay) * weight.numpy()
            for mean, weight in zip(expected, state.generator_ab.weights, strict=True)
        ]
    for mean, value in zip(state.translators[0].weights, expected, strict=True):
        np.testing.assert_allclose(mean, value, atol=1e-7)
    assert np.any(state.averages[1].weights[0].numpy() != state.generator_ba.weights[0].numpy())


def test_without_averages_the_generators_are_what_is_used_after_training():
    state = new_state(small_config())
    assert state.translators == (state.generator_ab, state.generator_ba)
    assert not [name for name in state.named(STRATEGY) if name.startswith("average")]


SPOILED = {
    "a new weight": {"optimizer__learning_rate": 1e39},
    "a gradient": {"losses__cycle_weight_a": 3e38},
    "a square of a gradient": {"losses__cycle_weight_a": 1e30, "optimizer__name": "rmsprop"},
}


@pytest.mark.parametrize("options", SPOILED.values(), ids=SPOILED)
def test_a_step_that_is_not_finite_changes_nothing(options):
    config = small_config(**options, training__ema_decay=0.9, discriminator__spectral_norm=True)
    state = new_state(config)
    before = snapshot(state.named(STRATEGY))
    result = whole_step(state, config)(images(), images())
    assert not result.is_taken and result.is_bad
    counters = {"step": 1, "samples": 1, "skipped": 1, "bad_streak": 1}
    for name, value in snapshot(state.named(STRATEGY)).items():
        np.testing.assert_array_equal(value, before[name] + counters.get(name, 0), err_msg=name)


def test_a_step_after_a_skipped_one_is_the_step_that_would_have_come_first():
    def weights_after(*batches):
        state = new_state(config)
        step = whole_step(state, config)
        for batch in batches:
            step(batch, batch)
        return snapshot(state.named(STRATEGY))

    config = small_config(training__ema_decay=0.9, losses__identity_every_steps=1, training__pool_size=0)
    good = images()
    skipped, alone = weights_after(good * np.nan, good), weights_after(good)
    assert (skipped.pop("step"), skipped.pop("samples"), skipped.pop("skipped")) == (2, 2, 1)
    for name, value in skipped.items():
        np.testing.assert_array_equal(value, alone[name], err_msg=name)


def test_metrics_can_be_finite_where_the_new_weights_are_not():
    config = small_config(optimizer__learning_rate=1e39)
    metrics = whole_step(new_state(config), config)(images(), images()).metrics
    assert np.isfinite([float(value) for value in metrics.values()]).all()


@pytest.mark.parametrize(("max_bad_steps", "num_made"), [(1, 3), (2, 4), (3, 6)])
def test_a_call_ends_with_the_last_of_too_many_bad_steps_in_a_row(max_bad_steps, num_made):
    config = small_config()
    state = new_state(config)
    good, bad = images(), images() * np.nan
    batches = tf.data.Dataset.from_tensor_slices([good, good, bad, bad, good, bad])
    run = build_steps(whole_step(state, config), state, tf.float32, max_bad_steps)
    (metrics, is_taken, is_bad), bad_streak = run(iter(tf.data.Dataset.zip(batches, batches)), tf.constant(6))
    expected = [True, True, False, False, True, False][:num_made]
    assert is_taken.numpy().tolist() == np.isfinite(metrics["loss/discriminator_a"]).tolist() == expected
    assert (~is_bad.numpy()).tolist() == expected
    assert (int(state.step), int(state.skipped)) == (num_made, expected.count(False))
    assert int(bad_streak) == int(state.bad_streak) == min(max_bad_steps, 2 if num_made < 6 else 1)


def test_bad_steps_in_a_row_are_counted_over_calls():
    config = small_config()
    state = new_state(config)
    batches = tf.data.Dataset.from_tensors(images() * np.nan).repeat()
    run = build_steps(whole_step(state, config), state, tf.float32, 3)
    iterator = iter(tf.data.Dataset.zip(batches, batches))
    assert [run(iterator, tf.constant(2))[1].numpy() for _ in range(2)] == [2, 3]
    assert int(state.step) == 3


def test_a_compiled_update_is_the_uncompiled_one():
    config = small_config(training__precision="float64", training__ema_decay=0.9)
    state = new_state(config)
    real_a, real_b = (tf.cast(images(), tf.float64) for _ in range(2))
    gradients = compute_gradients(state, config, real_a, real_b, tf.constant(0), 1)
    plain, compiled = (build_update(state, config, jit_compile)(gradients) for jit_compile in (False, True))
    for one, other in zip(tf.nest.flatten(plain), tf.nest.flatten(compiled), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


def test_a_checkpoint_names_every_variable_that_a_step_changes():
    config = small_config(training__ema_decay=0.9, discriminator__spectral_norm=True, generator__normalization="batch")
    state = new_state(config)
    named = state.named(STRATEGY)
    before = snapshot(named)
    whole_step(state, config)(images(), images())
    weights = [weight for network in (*state.networks, *state.averages) for weight in network.weights]
    moments = [moment for own in state.generator_moments + state.discriminator_moments for moment in own]
    pools = [variable for pool in (state.pool_a, state.pool_b) for variable in (pool.images, pool.count)]
    counters = {"step", "samples", "skipped", "bad_streak"}
    assert counters < named.keys() and len(named) == len(weights) + len(moments) + len(pools) + len(counters)
    changed = [name for name, value in snapshot(named).items() if np.any(value != before[name])]
    assert {"step", "pool_a/images/0", "moment_1/generator_ab/first_conv/kernel"} <= set(changed)
    unchanged = {name.partition("/")[0] for name in named} - {name.partition("/")[0] for name in changed}
    assert unchanged == {"skipped", "bad_streak"}  # which a step changes that is not finite


def test_gradients_whose_squares_would_overflow_when_they_are_summed_are_not_finite():
    config = small_config()
    state = new_state(config)
    gradients = compute_gradients(state, config, images(), images(), tf.constant(0), 1)
    update = build_update(state, config, jit_compile=False)(gradients)
    large = [tf.fill(gradient.shape, 1e17) for gradient in gradients.generators]
    assert is_step_finite(gradients, update)
    assert not is_step_finite(gradients._replace(generators=large), update)
    assert np.isfinite(float(tf.nn.l2_loss(large[0])))
