import numpy as np
import pytest
import tensorflow as tf

from cyclegan.bundles.bundle import Bundle, load_bundle
from cyclegan.config.files import load_config
from cyclegan.errors import UsageError
from cyclegan.training.checkpoints import save_checkpoint
from cyclegan.training.gradients import compute_gradients
from cyclegan.training.length import run_length
from cyclegan.training.state import build_state, snapshot
from cyclegan.training.teaching import (
    TEACHER,
    build_teachers,
    find_teacher,
    keep_teacher,
    start_discriminators,
    student_keys,
)

STRATEGY = tf.distribute.get_strategy()
RNG = np.random.default_rng(4)
STUDENT = [
    ("generator.filters", 2),
    ("losses.cycle_weight_a", 0.0),
    ("losses.cycle_weight_b", 0.0),
    ("losses.identity_weight", 0.0),
    ("training.precision", "float64"),
    ("distillation.weight", 3.0),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, make_bundle):
    return make_bundle(tmp_path_factory.mktemp("teacher"))


def config_of(bundle, *keys):
    return load_config("smoke", [*STUDENT, ("distillation.teacher", str(bundle.folder)), *keys])


def build(config, bundle):
    teachers = build_teachers(bundle, config, STRATEGY)
    return build_state(config, STRATEGY, run_length(config.training, 10, 2), teachers)


def test_the_loss_is_the_mean_difference_to_the_translations_of_the_teacher(bundle):
    config = config_of(bundle)
    state = build(config, bundle)
    real_a, real_b = (tf.constant(RNG.uniform(-1, 1, (2, 32, 32, 3))) for _ in range(2))
    losses = compute_gradients(state, config, real_a, real_b, tf.constant(0), 1).metrics
    for way, real, student in (("ab", real_a, state.generator_ab), ("ba", real_b, state.generator_ba)):
        taught = bundle.generator(way)(tf.cast(real, tf.float32), training=False).numpy()
        expected = 3 * np.abs(taught - student(real, training=False).numpy()).mean()
        assert losses[f"loss/generator_{way}/distillation"].numpy() == pytest.approx(expected, rel=1e-5)
        assert losses[f"loss/generator_{way}/cycle"] == 0


def test_the_teachers_are_neither_trained_nor_saved(bundle):
    config = config_of(bundle)
    state = build(config, bundle)
    names = state.named(STRATEGY)
    assert not any("teacher" in name for name in names)
    own = {id(variable) for variable in (*state.generator_variables, *names.values())}
    assert own.isdisjoint(id(variable) for teacher in state.teachers for variable in teacher.variables)


def test_a_run_without_teachers_has_no_such_loss(bundle):
    config = load_config("smoke", [("training.precision", "float64")])
    state = build_state(config, STRATEGY, run_length(config.training, 10, 2))
    images = [tf.constant(RNG.uniform(-1, 1, (1, 32, 32, 3))) for _ in range(2)]
    metrics = compute_gradients(state, config, *images, tf.constant(0), 1).metrics
    assert not any("distillation" in name for name in metrics)


def test_a_student_has_half_of_the_filters_and_the_images_of_its_teacher(bundle):
    keys = dict(student_keys(str(bundle.folder)))
    assert keys["generator.filters"] == 2 and keys["generator.num_blocks"] == 1
    assert keys["losses.cycle_weight_a"] == keys["losses.identity_weight"] == 0
    assert keys["distillation.teacher"] == str(bundle.folder)
    config = load_config("smoke", list(keys.items()))
    assert config.generator.filters == 2


def test_a_teacher_that_does_not_fit_is_refused(bundle, make_bundle, tmp_path):
    grey = make_bundle(tmp_path / "grey", channels_a=1)
    with pytest.raises(UsageError, match=r"for images with the same channels. Received: .*grey.* channels \(1, 3\)"):
        find_teacher(config_of(grey), tmp_path)
    info = bundle.info.model_copy(update={"weights": {"ab": bundle.info.weights["ab"]}})
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "bundle.json").write_text(info.model_dump_json())
    with pytest.raises(UsageError, match="must have generators of both directions"):
        find_teacher(config_of(Bundle(tmp_path / "half", info)), tmp_path)
    assert find_teacher(load_config("smoke"), tmp_path) is None


def test_a_run_goes_on_with_its_own_copy_of_the_teacher(bundle, tmp_path):
    keep_teacher(bundle, tmp_path)
    gone = config_of(Bundle(tmp_path / "gone", bundle.info))
    copy = find_teacher(gone, tmp_path)
    assert copy.folder == tmp_path / TEACHER
    image = RNG.uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    for way in ("ab", "ba"):
        one, other = (each.generator(way)(image, training=False).numpy() for each in (copy, bundle))
        assert one.tobytes() == other.tobytes()
    with pytest.raises(UsageError, match="There is no model"):
        find_teacher(gone, tmp_path / "elsewhere")


def test_the_discriminators_go_on_from_those_of_the_run_of_the_teacher(bundle, make_bundle, tmp_path):
    config = config_of(bundle)
    state = build(config, bundle)
    assert start_discriminators(state, bundle, STRATEGY).endswith("The discriminators start from random weights.")
    run = tmp_path / "run"
    make_bundle(run / "bundle" / "last")
    other = build_state(
        config.model_copy(update={"training": config.training.model_copy(update={"seed": 5})}),
        STRATEGY,
        run_length(config.training, 10, 2),
    )
    save_checkpoint(snapshot(other.named(STRATEGY)), run / "checkpoints", 5, 1)
    line = start_discriminators(state, load_bundle(run), STRATEGY)
    assert line.endswith("step 0. The discriminators go on from those of the teachers.")
    for name, variable in state.named(STRATEGY).items():
        is_same = np.array_equal(variable.numpy(), other.named(STRATEGY)[name].numpy())
        assert is_same or not name.startswith("discriminator_"), name
