"""What `cyclegan train` refuses, in one line and with nothing written, and what it does not."""

import io
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import rich.console
import tensorflow as tf
from click.testing import CliRunner, Result
from PIL import Image

import cyclegan
from cyclegan.bundles.bundle import load_bundle
from cyclegan.cli.main import main
from cyclegan.config.files import load_config
from cyclegan.data.stripes import ensure_stripes, write_stripes
from cyclegan.networks.weights import named_weights
from cyclegan.training.checkpoints import list_checkpoints
from cyclegan.training.record import RunRecord, write_run


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def train(tmp_path, data_dir, monkeypatch):
    """Runs `cyclegan train` with the smallest networks in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CYCLEGAN_DATA_DIR", str(data_dir))
    monkeypatch.setenv("CYCLEGAN_XLA_CACHE", "off")

    def run(*arguments: object, config: str | None = "smoke") -> Result:
        preset = ["--config", config] if config else []
        return CliRunner().invoke(main, ["train", *preset, *map(str, arguments)])

    return run


def write_images(folder: pathlib.Path, **counts: int) -> pathlib.Path:
    """A folder whose parts hold as many small pictures as `counts` says."""
    for part, count in counts.items():
        (folder / part).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (40, 40), (40 * number, 100, 200)).save(folder / part / f"{number}.png")
    return folder


REFUSED = [
    (["--dataset", "hors2zebra"], "Did you mean `horse2zebra`?"),
    (["--dataset", "nowhere/"], "The folder nowhere does not exist"),
    (["--dataset", "empty"], "must hold trainA and trainB"),
    (["--dataset", "one_sided"], "one_sided/trainB holds no images. Formats looked for: .bmp"),
    (["--domain-a", "one_sided/trainA"], "`data.domain_b` must be given together"),
    (["--domain-a", "one_sided/trainA", "--domain-b", "nowhere"], "nowhere: no such folder"),
    (["--domain-a", "one_sided/trainA", "--domain-b", "one_sided/trainA"], "must be different folders"),
    (["--set", "data.crop_size=64"], "`data.crop_size` must be at most `data.load_size`"),
    (["--set", "data.crop_size=30"], "`data.crop_size` must be a multiple of 4"),
    (["--set", "data.crop_size=4"], "`data.crop_size` must be a multiple of 4, at least 8"),
    (
        ["--set", "generator.architecture=unet", "--set", "generator.num_levels=6"],
        "must be a multiple of 64, at least 64, because the unet generator halves it 6 times",
    ),
    (["--set", "generator.architecture=vnet"], "`generator.architecture` must be 'resnet' or 'unet'"),
    (["--set", "discriminator.num_layers=6"], "`discriminator.num_layers` must be less than or equal to 5"),
    (["--set", "discriminator.architecture=multiscale", "--set", "discriminator.num_layers=3"], "layers at 2 scales"),
    (
        ["--set", "discriminator.architecture=pixel", "--set", "discriminator.downsampling=max"],
        "must be strided for the pixel architecture",
    ),
    (
        ["--set", "losses.adversarial=hinge", "--set", "losses.label_smoothing=0.1"],
        "must be 0 unless `losses.adversarial` is lsgan or vanilla",
    ),
    (["--set", "losses.adversarial=wgan_gp", "--set", "losses.r1_weight=1"], "`losses.r1_weight` must be 0"),
    (
        ["--set", "losses.r1_weight=1", "--set", "discriminator.normalization=batch"],
        "`discriminator.normalization` must not be batch",
    ),
    (
        [
            *("--set", "generator.architecture=unet", "--set", "generator.num_levels=5"),
            *("--set", "generator.dropout=0.5"),
        ],
        "`generator.num_levels` must be at least 6",
    ),
    (["--set", "training.epoch=3"], "did you mean `training.epochs`?"),
    (["--set", "training.batch_size=two"], "`training.batch_size` must be a valid integer"),
    (["--set", "training"], "must have the form section.key=value"),
    (["--precision", "float8"], "`training.precision` must be 'float32'"),
    (["--steps", "0"], "0 is not in the range x>=1"),
    (["--epochs", "3", "--steps", "3"], "Give `--epochs` or `--steps`, not both"),
    (["--devices", "tpu"], "`--devices` must be one of"),
    (["--run-dir", "one_sided"], "is not a run of cyclegan"),
    (["--run-dir", "file"], "which is a file"),
    (["--run-dir", "file/run"], "cannot be written"),
    (["--init-from", "empty"], "neither a run with a trained model nor a bundle"),
    (
        ["--set", "data.validation_fraction=0.1", "--set", "evaluation.features=no.tflite"],
        "no.tflite cannot be read: No such file or directory",
    ),
    (
        ["--set", "data.validation_fraction=0.1", "--set", "evaluation.features=keras:Nothing", "--dry-run"],
        "must be one of ConvNeXtBase",
    ),
    (["--init-from", "empty", "--dry-run"], "neither a run with a trained model nor a bundle"),
]


@pytest.mark.parametrize("arguments,message", REFUSED, ids=[" ".join(arguments) for arguments, _ in REFUSED])
def test_bad_input_is_one_line_and_nothing_is_written(train, tmp_path, arguments, message):
    write_images(tmp_path / "one_sided", trainA=1, trainB=0)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    result = train(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


NAMED_AT_ONCE = [
    (["--set", "training.epoch=3"], "did you mean `training.epochs`?"),
    (["--run-dir", "file/run", "--dataset", "stripes"], "cannot be written"),
    (["--run-dir", "runs/strips-1", "--epochs", "300"], "Did you mean runs/stripes-1?"),
    (["--run-dir", "runs/stripes-1", "--init-from", "other"], "`--init-from` is for new runs"),
]


@pytest.mark.parametrize("arguments,message", NAMED_AT_ONCE, ids=[" ".join(one) for one, _ in NAMED_AT_ONCE])
def test_a_wrong_request_is_named_before_tensorflow_starts(tmp_path, arguments, message):
    (tmp_path / "file").write_text("")
    (tmp_path / "runs" / "stripes-1").mkdir(parents=True)
    record = RunRecord(version="1", devices="cpu", num_replicas=1, fingerprint="")
    write_run(tmp_path / "runs" / "stripes-1", load_config("smoke"), record)
    program = (
        "import sys; from cyclegan.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, "train", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "set()\n")
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_python_trains_what_the_command_trains(train, data_dir):
    """Without any option: the built-in data set and its preset, not the defaults of 256 pixels and 200 epochs."""
    ensure_stripes(data_dir)  # the first one that needs it says that it draws it
    output = io.StringIO()
    cyclegan.train(dry_run=True, console=rich.console.Console(file=output, width=200))
    assert output.getvalue() == train("--dry-run", config=None).stdout
    assert "  crop_size: 64\n" in output.getvalue()


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_a_missing_gpu_is_one_line_and_nothing_is_written(train, tmp_path):
    result = train("--devices", "gpu")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "TensorFlow sees none" in result.stderr
    assert not list(tmp_path.iterdir())


def test_dry_run_says_what_would_be_trained_and_writes_nothing(train, tmp_path):
    result = train("--dry-run", "--set", "training.batch_size=3")
    assert result.exit_code == 0, result.output
    assert "  batch_size: 3\n" in result.stdout
    assert "# 3 images of each domain a step, on 1 replica\n" in result.stdout
    assert (
        "# 167 steps per epoch, 20 steps in 1 epoch; the learning rate is 0.0002 for 10 steps, then decays over 10\n"
        in result.stdout
    )
    # 592 + 296 + 1168 in, two of 2320 in the residual block, 1160 + 292 + 591 out; 196 + 520 + 129.
    assert "# 8,739 parameters in each generator, 845 in each discriminator" in result.stdout
    assert "GB of memory at the peak" in result.stdout
    assert not list(tmp_path.iterdir())
    (tmp_path / "again.yaml").write_text(result.stdout[result.stdout.index("data:\n") :])
    again = load_config(str(tmp_path / "again.yaml"))
    assert again == load_config("smoke", [("training.batch_size", 3)])


def test_keys_that_need_validation_images_are_said_to_have_no_effect(train):
    line = "The keys evaluation.* have no effect without validation images: data.validation_fraction is 0.\n"
    assert line in train("--dry-run", "--set", "evaluation.every_steps=5").stdout
    assert line not in train("--dry-run").stdout


def test_dry_run_describes_several_replicas(tmp_path, data_dir):
    """In a process of its own, because logical CPUs are made before TensorFlow is used."""
    program = [sys.executable, "-m", "cyclegan", "train", "--config", "smoke", "--data-dir", str(data_dir)]
    memory = {}
    for devices in ("cpu", "cpu:2"):
        arguments = ["--dry-run", "--devices", devices]
        done = subprocess.run([*program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        memory[devices] = float(re.search(r"# about ([\d.]+) GB", done.stdout)[1])
    assert "# 2 images of each domain a step, on 2 replicas\n" in done.stdout
    assert memory["cpu:2"] >= memory["cpu"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data_dir):
    """The folder of a finished run of four steps, runs/photos-1, and the result of the command that made it."""
    folder = tmp_path_factory.mktemp("finished")
    photos = write_images(folder / "photos", trainA=3, trainB=2)
    arguments = ["--config", "smoke", "--dataset", photos, "--steps", 4]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CYCLEGAN_DATA_DIR", str(data_dir))
        patch.setenv("CYCLEGAN_XLA_CACHE", "off")
        result = CliRunner().invoke(main, ["train", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return folder, result


@pytest.fixture
def run(finished, tmp_path):
    folder, _ = finished
    shutil.copytree(folder / "runs" / "photos-1", tmp_path / "run")
    return tmp_path / "run"


def test_a_run_says_where_it_is_and_which_images_it_shows(finished):
    _, result = finished
    assert "There are no test images of domain A or domain B: its sample pictures show training" in result.stdout
    assert "Done: runs/photos-1, step 4." in result.stdout


def test_a_run_writes_samples_and_a_log(finished):
    folder, _ = finished
    assert (folder / "runs" / "photos-1" / "samples" / "step-00000004-a_to_b.png").exists()
    lines = (folder / "runs" / "photos-1" / "log.txt").read_text().splitlines()
    assert any("step 4/4" in line for line in lines)
    assert lines[-1].endswith("Done at step 4.")


def test_a_run_writes_a_bundle_that_says_where_it_comes_from(finished):
    folder, _ = finished
    provenance = json.loads((folder / "runs" / "photos-1" / "bundle" / "last" / "bundle.json").read_text())[
        "provenance"
    ]
    assert (provenance["step"], len(provenance["fingerprint"])) == (4, 64)
    assert provenance["metrics"]["loss/generator_ab/cycle"] > 0


def test_a_finished_run_can_be_made_longer(train, run):
    more = train("--run-dir", run, "--steps", 6, config=None)
    assert more.exit_code == 0, more.output
    assert "training.steps changed from 4 to 6" in more.stdout
    assert list_checkpoints(run / "checkpoints")[-1][0] == 6


@pytest.mark.slow
def test_a_run_continues_without_xla_or_with_it_as_it_is_told(train, run):
    for setting, line in (
        ("auto", "XLA compiles nothing: auto keeps what the run has used so far."),
        ("true", "XLA compiles the gradients and the update: training.jit_compile is true."),
        ("false", "XLA compiles nothing: training.jit_compile is false."),
    ):
        steps = list_checkpoints(run / "checkpoints")[-1][0] + 1
        more = train("--run-dir", run, "--steps", steps, "--set", f"training.jit_compile={setting}", config=None)
        assert more.exit_code == 0, more.output
        assert line in more.stdout
        assert json.loads((run / "run.json").read_text())["compilation"]["update"] == (setting == "true")


def test_a_run_whose_checkpoints_are_gone_does_not_start_over(train, run):
    shutil.rmtree(run / "checkpoints")
    bundle = (run / "bundle" / "last" / "bundle.json").read_bytes()
    result = train("--run-dir", run, config=None)
    assert result.exit_code == 1
    assert "has a bundle but no checkpoint" in result.stderr
    assert (run / "bundle" / "last" / "bundle.json").read_bytes() == bundle


def damage_all_checkpoints(run):
    for _, path in list_checkpoints(run / "checkpoints"):
        path.write_bytes(path.read_bytes()[:-9])


def test_a_run_of_damaged_checkpoints_starts_over_only_if_it_is_told(train, run):
    damage_all_checkpoints(run)
    refused = train("--run-dir", run, "--steps", 6, config=None)
    assert refused.exit_code == 1 and "start over with --fresh" in refused.stderr
    started = train("--run-dir", run, "--steps", 6, "--fresh", config=None)
    assert started.exit_code == 0, started.output
    assert f"The run starts over. What came of it so far is kept in {run}/before." in started.stdout
    assert f"Starting over {run}: steps 0 to 6" in started.stdout
    assert load_bundle(run).info.provenance.step == 6


def test_a_fresh_start_keeps_what_came_before_each_time(train, run):
    for number, place in enumerate(("before", "before-2")):
        shown = {path.name for path in (run / "samples").iterdir()}
        damage_all_checkpoints(run)
        started = train("--run-dir", run, "--steps", 5 + number, "--fresh", config=None)
        assert started.exit_code == 0, started.output
        assert load_bundle(run / place).info.provenance.step == 4 + number
        assert {path.name for path in (run / place / "samples").iterdir()} == shown
        assert len(list((run / place).glob("events.out.tfevents.*"))) == 1
        assert [step for step, _ in list_checkpoints(run / place / "checkpoints")] == [4 + number]


def test_a_fresh_start_can_take_the_generators_of_the_bundle(train, run, tmp_path):
    damage_all_checkpoints(run)
    shutil.copytree(run / "bundle" / "last", tmp_path / "kept")
    started = train("--run-dir", run, "--fresh", "--init-from", tmp_path / "kept", config=None)
    assert started.exit_code == 0, started.output
    assert "steps 0 to 4" in started.stdout
    assert [step for step, _ in list_checkpoints(run / "checkpoints")] == [0, 4]


def test_a_run_with_an_intact_checkpoint_is_never_started_over(train, run):
    result = train("--run-dir", run, "--steps", 6, "--fresh", config=None)
    assert result.exit_code == 2
    assert "has an intact checkpoint of step 4. Leave out --fresh" in result.stderr
    assert load_bundle(run).info.provenance.step == 4


def test_a_fresh_start_needs_a_run_that_exists(train):
    result = train("--fresh", "--steps", 1)
    assert result.exit_code == 2
    assert "`--fresh` must be used with the --run-dir of a run" in result.stderr
    assert not pathlib.Path("runs").exists()


def test_a_run_whose_record_is_gone_is_told_from_a_foreign_folder(train, run):
    (run / "run.json").unlink()
    result = train("--run-dir", run, config=None)
    assert result.exit_code == 2
    assert f"{run} has checkpoints but no run.json" in result.stderr and f"--init-from {run}" in result.stderr


def test_a_run_continues_with_another_learning_rate(train, run):
    # A step too small for float32 leaves the weights, and a bundle states their digests.
    before = load_bundle(run).info.weights
    more = train("--run-dir", run, "--steps", 5, "--set", "optimizer.learning_rate=1e-30", config=None)
    assert more.exit_code == 0, more.output
    assert "optimizer.learning_rate changed from 0.0002 to 1e-30" in more.stdout
    assert load_bundle(run).info.weights == before


def test_a_finished_run_says_that_it_is_finished(train, run):
    again = train("--run-dir", run, config=None)
    assert again.exit_code == 0
    assert "All 4 steps are done" in again.stdout


def test_a_run_cannot_be_made_shorter(train, run):
    shorter = train("--run-dir", run, "--steps", 3, config=None)
    assert shorter.exit_code == 2
    assert "has done 4 steps and cannot be made shorter" in shorter.stderr
    assert "steps: 4\n" in (run / "config.yaml").read_text()


def test_a_run_cannot_continue_with_other_networks(train, run):
    other_width = train("--run-dir", run, "--set", "generator.filters=8", config=None)
    assert other_width.exit_code == 2
    assert "generator.filters (stored: 4, received: 8)" in other_width.stderr


def test_a_run_cannot_continue_with_other_images(train, finished, run):
    images = finished[0] / "photos" / "trainA"
    (images / "1.png").rename(images / "new.png")
    try:
        other = train("--run-dir", run, "--steps", 8, config=None)
    finally:
        (images / "new.png").rename(images / "1.png")
    assert other.exit_code == 2 and other.stderr.count("\n") == 1
    assert f"1 new (the first: {images}/new.png), 1 missing (the first: {images}/1.png)" in other.stderr


def test_a_run_that_is_asked_for_another_data_set_says_so(train, run):
    result = train("--run-dir", run, "--dataset", "stripes", config=None)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert " data.dataset is stripes now; it was /" in result.stderr


def test_images_that_are_gone_are_asked_for_at_their_new_place(train, run):
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("/photos\n", "/phones\n"))
    result = train("--run-dir", run, "--steps", 8, config=None)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "If the images have moved, say where they are now: --dataset" in result.stderr


def test_a_file_that_breaks_between_two_sessions_is_replaced(train, finished, run, tmp_path):
    photos = shutil.copytree(finished[0] / "photos", tmp_path / "photos")
    (photos / "trainA" / "1.png").write_bytes(b"not an image")
    arguments = ["--run-dir", run, "--steps", 8, "--dataset", photos]
    more = train(*arguments, config=None)
    assert more.exit_code == 0, more.output
    assert f"Replaced by the next image: {photos}/trainA/1.png" in more.stdout
    refused = train(*arguments[:-3], 12, "--set", "data.max_bad_images=0", config=None)
    assert refused.exit_code == 1
    assert "More than `data.max_bad_images` = 0 files are broken." in refused.stderr


@pytest.mark.slow
def test_a_run_whose_images_have_moved_ends_in_the_same_bits(tmp_path):
    """In processes of their own, because deterministic operations cannot be switched off again."""

    def finish(*arguments: object) -> str:
        program = [sys.executable, "-m", "cyclegan", "train", "--devices", "cpu", *map(str, arguments)]
        done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def weights(run: str) -> dict:
        """The files of both directions with the SHA-256 of the weights."""
        return load_bundle(tmp_path / run).info.weights

    write_stripes(tmp_path / "photos", num_train=5, num_test=1)
    start = ["--dataset", "photos", "--config", "smoke", "--set", "training.deterministic=true"]
    start += ["--set", "training.decay_epochs=0"]
    finish(*start, "--run-dir", "whole", "--steps", 12)
    finish(*start, "--run-dir", "parted", "--steps", 5)
    assert weights("parted") != weights("whole")
    (tmp_path / "photos").rename(tmp_path / "scratch")
    output = finish("--run-dir", "parted", "--steps", 12, "--dataset", "scratch")
    assert f"data.dataset changed from {tmp_path}/photos to {tmp_path}/scratch" in output
    assert len(weights("parted")) == 2 and weights("parted") == weights("whole")


def test_a_new_run_starts_from_the_generators_of_another(train, finished):
    folder, _ = finished
    # A step too small for float32 leaves the weights, and a bundle states their digests.
    tiny = ["--steps", 1, "--set", "optimizer.learning_rate=1e-30", "--run-dir", "warm"]
    warm = train("--dataset", folder / "photos", *tiny, "--init-from", folder / "runs" / "photos-1")
    assert warm.exit_code == 0, warm.output
    assert "step 4; discriminators and optimizers start fresh" in warm.stdout
    assert load_bundle("warm").info.weights == load_bundle(folder / "runs" / "photos-1").info.weights


def test_a_run_from_a_bundle_is_saved_before_its_first_step(train, finished):
    """It would go on from random weights if it were killed before its first checkpoint."""
    folder, _ = finished
    start = folder / "runs" / "photos-1"
    assert train("--dataset", folder / "photos", "--steps", 1, "--run-dir", "warm", "--init-from", start).exit_code == 0
    with np.load("warm/checkpoints/step-00000000.npz") as saved:
        for name, weight in named_weights(load_bundle(start).generator("ab")).items():
            np.testing.assert_array_equal(saved[f"generator_ab/{name}"], weight.numpy())


def test_a_first_start_from_a_bundle_that_was_killed_leaves_nothing_to_the_next(train, finished):
    folder, _ = finished
    shutil.copytree(folder / "runs" / "photos-1" / "checkpoints", "left/checkpoints")
    pathlib.Path("left/checkpoints/step-00000004.npz").rename("left/checkpoints/step-00000000.npz")
    assert train("--dataset", folder / "photos", "--steps", 1, "--run-dir", "left").exit_code == 0
    assert [path.name for path in pathlib.Path("left/checkpoints").iterdir()] == ["step-00000001.npz"]


def test_a_new_run_refuses_generators_of_another_architecture(train, finished):
    folder, _ = finished
    unfit = train(
        "--dataset", folder / "photos", "--init-from", folder / "runs" / "photos-1", "--set", "generator.filters=8"
    )
    assert unfit.exit_code == 2
    assert "are not those that the configuration asks for" in unfit.stderr
    assert not pathlib.Path("runs").exists()


def test_a_training_that_diverges_stops_with_the_loss_and_saves_nothing_of_it(train, tmp_path):
    result = train("--set", "optimizer.learning_rate=1e20", "--run-dir", "run")
    assert result.exit_code == 1
    assert "Training diverged: 10 steps in a row were not finite and not taken; in step 11 it was" in result.stderr
    assert "Error: Training diverged: 10 steps" in (tmp_path / "run" / "log.txt").read_text().splitlines()[-1]
    assert not list_checkpoints(tmp_path / "run" / "checkpoints")


def test_too_many_broken_files_are_refused_before_the_run_starts(train, tmp_path):
    folder = write_images(tmp_path / "photos", trainA=3, trainB=3)
    for path in (folder / "trainA").iterdir():
        path.write_bytes(b"not an image")
    result = train("--dataset", folder, "--set", "data.max_bad_images=1")
    assert result.exit_code == 1
    assert "cyclegan data check" in result.stderr
    assert not pathlib.Path("runs").exists()


@pytest.mark.slow
def test_set_and_option_choose_the_same_preset(train, tmp_path):
    folder = write_images(tmp_path / "photos", trainA=2, trainB=2)
    sizes = ["--set", "generator.filters=4", "--set", "discriminator.filters=4"]
    option = train("--dataset", folder, "--dry-run", *sizes, config=None)
    setting = train("--set", f"data.dataset={folder}", "--dry-run", *sizes, config=None)
    assert "  crop_size: 256\n" in option.stdout
    assert option.stdout == setting.stdout


def test_large_images_are_kept_in_the_data_directory(train, data_dir, tmp_path):
    for part in ("trainA", "trainB"):
        (tmp_path / "photos" / part).mkdir(parents=True)
        Image.effect_noise((1200, 1000), 50).save(tmp_path / "photos" / part / "0.jpg")
    result = train("--dataset", tmp_path / "photos", "--steps", 1, "--run-dir", "run")
    assert result.exit_code == 0, result.output
    assert len(list((data_dir / "cache" / "images").iterdir())) == 2


def write_with_truncated(folder, parts, truncated):
    """Two images in each part; those of one part end in the middle of their pixels."""
    for part in parts:
        (folder / part).mkdir(parents=True)
        for number in range(2):
            path = folder / part / f"{number}.jpg"
            Image.effect_noise((40, 40), 50).convert("RGB").save(path)
            if part == truncated:
                path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return folder


def test_training_images_that_are_all_broken_end_the_run_with_one_line(train, tmp_path):
    """Truncated behind intact headers, and fewer than `data.max_bad_images`."""
    folder = write_with_truncated(tmp_path / "photos", ("trainA", "trainB"), truncated="trainA")
    result = train("--dataset", folder, "--steps", 1, "--run-dir", "run")
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: All training images of domain A are broken.")
    assert result.stderr.count("\n") == 1


def test_test_images_that_are_all_broken_cost_no_training(train, tmp_path):
    """Truncated behind an intact header, which the scan at the start cannot see."""
    folder = write_with_truncated(tmp_path / "photos", ("trainA", "trainB", "testA", "testB"), truncated="testA")
    result = train("--dataset", folder, "--steps", 1, "--run-dir", "run")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "samples" / "step-00000001-a_to_b.png").exists()


@pytest.mark.slow
def test_a_start_without_room_can_be_repeated_in_the_same_directory(train, tmp_path):
    photos = write_images(tmp_path / "photos", trainA=2, trainB=2)
    program = (
        "import resource, sys; from cyclegan.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)\n"
        "main(sys.argv[2:])"
    )
    arguments = command("--dataset", photos, "--steps", 1, "--run-dir", "run")
    for room in (10, 10_000_000):
        done = subprocess.run([sys.executable, "-c", program, str(room), *arguments], capture_output=True, text=True)
        assert done.returncode == (2 if room == 10 else 0), done.stdout + done.stderr
        assert ("cannot be written" in done.stderr) == (room == 10)


@pytest.mark.slow
def test_a_divergence_keeps_the_checkpoint_before_it(train, tmp_path):
    photos = write_images(tmp_path / "photos", trainA=2, trainB=2)
    assert train("--dataset", photos, "--steps", 2, "--run-dir", "run").exit_code == 0
    result = train("--run-dir", "run", "--steps", 8, "--set", "optimizer.learning_rate=1e20", config=None)
    assert result.exit_code == 1
    assert "5 steps in a row were not finite and not taken; in step 8 it was loss/" in result.stderr
    assert result.stderr.count("\n") == 1
    assert [step for step, _ in list_checkpoints(tmp_path / "run" / "checkpoints")] == [2]


def command(*arguments: object) -> list[str]:
    return ["train", "--config", "smoke", "--set", "training.log_every_steps=1", *map(str, arguments)]


@pytest.mark.slow
def test_sigterm_saves_and_says_how_to_continue(train, tmp_path):
    photos = write_images(tmp_path / "photos", trainA=2, trainB=2)
    arguments = command("--dataset", photos, "--steps", 1_000_000, "--run-dir", "run")
    with subprocess.Popen([sys.executable, "-m", "cyclegan", *arguments], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "step 3/" in line:
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stdout.read()
    assert process.returncode == 75
    step, _ = list_checkpoints(tmp_path / "run" / "checkpoints")[-1]
    assert f"Stopped at step {step}. Continue with: cyclegan train --run-dir run\n" in rest


@pytest.mark.slow
def test_a_full_disk_is_reported_and_costs_no_training_until_the_end(train, tmp_path):
    """No file may grow beyond 8 kB: events reach that in the middle of the run, a checkpoint at once."""
    program = (
        "import resource, sys; from cyclegan.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "main(sys.argv[1:])"
    )
    photos = write_images(tmp_path / "photos", trainA=2, trainB=2)
    sets = ["--set", "training.sample_every_steps=2", "--set", "training.checkpoint_every_steps=4"]
    arguments = command("--dataset", photos, "--steps", 12, "--run-dir", "run", *sets)
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("No more TensorBoard events") == 1
    for step in (4, 8):
        assert f"step-0000000{step}.npz cannot be written: File too large. Training goes on.\n" in done.stdout
    assert done.stderr.startswith("Error: Step 12 cannot be saved: ") and done.stderr.count("\n") == 1
    assert "There is no checkpoint. Remove the cause, then start over with: cyclegan train --run-dir run" in done.stderr
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
