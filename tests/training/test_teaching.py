import numpy as np
import pytest
import tensorflow as tf

from cyclegan.bundles.bundle import Bundle, load_bundle, save_bundle
from cyclegan.config.files import load_config
from cyclegan.config.networks import GeneratorConfig
from cyclegan.errors import UsageError
from cyclegan.networks.generators import build_generator
from cyclegan.training.checkpoints import save_checkpoint
from cyclegan.training.gradients import compute_gradients
from cyclegan.training.length import run_length
from cyclegan.training.record import RunRecord, write_run
from cyclegan.training.run_directory import TEACHER
from cyclegan.training.state import build_state, snapshot
from cyclegan.training.teaching import (
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


def record_of(teacher=None):
    teachers = teacher.info.digests if teacher else {}
    return RunRecord(version="1", devices="cpu", num_replicas=1, fingerprint="f", teachers=teachers)


def test_a_student_has_half_of_the_filters_and_the_images_of_its_teacher(bundle):
    keys = dict(student_keys(str(bundle.folder), [("data.dataset", "stripes")]))
    assert keys["generator.filters"] == 2 and keys["generator.num_blocks"] == 1
    assert keys["data.dataset"] == "stripes" and keys["training.steps"] == 10_000
    assert keys["losses.cycle_weight_a"] == keys["losses.identity_weight"] == 0
    assert keys["distillation.teacher"] == str(bundle.folder)
    config = load_config("smoke", list(keys.items()))
    assert config.generator.filters == 2


def test_a_student_of_a_run_has_its_images_batches_and_losses_of_discriminators(make_bundle, tmp_path):
    config = load_config(
        "smoke",
        [
            ("data.domain_a", "/horses"),
            ("data.domain_b", "/zebras"),
            ("losses.r1_weight", 2.0),
            ("losses.label_smoothing", 0.1),
            ("training.batch_size", 3),
            ("training.pool_size", 7),
        ],
    )
    make_bundle(tmp_path / "bundle" / "last")
    write_run(tmp_path, config, record_of())
    student = load_config(None, student_keys(str(tmp_path), []))
    assert (student.data.domain_a, student.data.domain_b) == ("/horses", "/zebras")
    assert (student.losses.r1_weight, student.losses.label_smoothing) == (2.0, 0.1)
    assert (student.training.batch_size, student.training.pool_size) == (3, 7)
    elsewhere = load_config(None, student_keys(str(tmp_path), [("data.dataset", "/others")]))
    assert (elsewhere.data.dataset, elsewhere.data.domain_a) == ("/others", None)
    epochs = load_config(None, student_keys(str(tmp_path), [("training.epochs", 3)]))
    assert (epochs.training.epochs, epochs.training.steps) == (3, None)


def test_a_student_of_a_foreign_bundle_takes_the_images_that_the_bundle_takes(make_bundle, tmp_path):
    bundle = make_bundle(tmp_path / "foreign", channels_a=1, value_range=(0.0, 4095.0))
    made = bundle.info.provenance.model_copy(update={"dataset": "ct+mr", "config": {}})
    info = bundle.info.model_copy(update={"provenance": made})
    (bundle.folder / "bundle.json").write_text(info.model_dump_json())
    with pytest.raises(UsageError, match=r"does not say where its images are. Give training images with --dataset DIR"):
        student_keys(str(bundle.folder), [])
    folders = [("data.domain_a", "/ct"), ("data.domain_b", "/mr")]
    data = load_config(None, student_keys(str(bundle.folder), folders)).data
    assert (data.domain_a, data.channels_a, data.value_range) == ("/ct", 1, (0.0, 4095.0))
    assert (data.crop_size, data.load_size) == (64, 72)  # 64 * 286 / 256 = 71.5


def test_a_teacher_that_does_not_fit_is_refused(bundle, make_bundle, tmp_path):
    grey = make_bundle(tmp_path / "grey", channels_a=1)
    with pytest.raises(UsageError, match=r"for images with the same channels. Received: .*grey.* channels \(1, 3\)"):
        find_teacher(config_of(grey), tmp_path, None)
    info = bundle.info.model_copy(update={"weights": {"ab": bundle.info.weights["ab"]}})
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "bundle.json").write_text(info.model_dump_json())
    with pytest.raises(UsageError, match="must have generators of both directions"):
        find_teacher(config_of(Bundle(tmp_path / "half", info)), tmp_path, None)
    with pytest.raises(UsageError, match=r"`data.crop_size` must be a multiple of 16 .*Received: 40"):
        deep = GeneratorConfig(filters=4, architecture="unet", num_levels=4)
        changes = {"generator": deep, "size_multiple": deep.size_multiple, "min_size": deep.min_size}
        networks = {way: build_generator(deep) for way in ("ab", "ba")}
        save_bundle(tmp_path / "deep", networks, bundle.info.model_copy(update=changes))
        find_teacher(
            config_of(load_bundle(tmp_path / "deep"), ("data.load_size", 40), ("data.crop_size", 40)), tmp_path, None
        )
    assert find_teacher(load_config("smoke"), tmp_path, None) is None


def test_a_run_goes_on_with_its_own_copy_of_the_teacher(bundle, tmp_path):
    keep_teacher(bundle, tmp_path)
    gone, record = config_of(Bundle(tmp_path / "gone", bundle.info)), record_of(bundle)
    copy = find_teacher(gone, tmp_path, record)
    assert copy.folder == tmp_path / TEACHER
    image = RNG.uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    for way in ("ab", "ba"):
        one, other = (each.generator(way)(image, training=False).numpy() for each in (copy, bundle))
        assert one.tobytes() == other.tobytes()
    with pytest.raises(UsageError, match="There is no model"):
        find_teacher(gone, tmp_path / "elsewhere", record)


def test_a_new_run_takes_the_named_teacher_and_not_what_a_killed_start_has_left(bundle, make_bundle, tmp_path):
    keep_teacher(make_bundle(tmp_path / "other", value_range=(0.0, 9.0)), tmp_path)
    named = find_teacher(config_of(bundle), tmp_path, None)
    assert named.folder == bundle.folder
    keep_teacher(named, tmp_path)
    assert load_bundle(tmp_path / TEACHER).info == bundle.info


def test_a_run_never_goes_on_with_another_teacher(bundle, tmp_path):
    other = {way: bundle.generator(way) for way in ("ab", "ba")}
    other["ab"].get_layer("last_conv").bias.assign([1.0, 0, 0])
    save_bundle(tmp_path / "other", other, bundle.info)
    config, record = config_of(load_bundle(tmp_path / "other")), record_of(bundle)
    with pytest.raises(UsageError, match=r"other is not the bundle from which .* has learned so far. Put the folder"):
        find_teacher(config, tmp_path / "run", record)


def test_the_discriminators_go_on_from_those_of_the_run_of_the_teacher(bundle, make_bundle, tmp_path):
    config = config_of(bundle)
    state = build(config, bundle)
    begin = start_discriminators(state, bundle, str(bundle.folder), STRATEGY)
    assert begin.endswith("The discriminators start from random weights.")
    run = tmp_path / "run"
    make_bundle(run / "bundle" / "last")
    write_run(run, config, record_of())
    other = build_state(
        config.model_copy(update={"training": config.training.model_copy(update={"seed": 5})}),
        STRATEGY,
        run_length(config.training, 10, 2),
    )
    save_checkpoint(snapshot(other.named(STRATEGY)), run / "checkpoints", 5, 1)
    (run / "checkpoints" / "step-00000006.npz").write_bytes(b"")  # a newer one that is damaged
    line = start_discriminators(state, load_bundle(run), str(run), STRATEGY)
    assert line.endswith("step 0. The discriminators go on from those of the teachers.")
    for name, variable in state.named(STRATEGY).items():
        is_same = np.array_equal(variable.numpy(), other.named(STRATEGY)[name].numpy())
        assert is_same or not name.startswith("discriminator_"), name
