import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cyclegan.bundles.bundle import save_bundle
from cyclegan.bundles.info import BundleInfo, Provenance
from cyclegan.cli.main import main
from cyclegan.config.networks import GeneratorConfig
from cyclegan.networks.generators import build_generator

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory, as far as `translate` looks at it."""
    keras.utils.set_random_seed(0)
    config = GeneratorConfig(filters=4, num_blocks=1)
    info = BundleInfo(
        generator=config,
        channels_a=3,
        channels_b=3,
        crop_size=64,
        value_range=None,
        max_pixels=100_000_000,
        size_multiple=4,
        min_size=8,
        provenance=Provenance(dataset="none", step=0, config={}, versions={}),
    )
    folder = tmp_path_factory.mktemp("run")
    generators = {"ab": build_generator(config), "ba": build_generator(config)}
    save_bundle(folder / "bundle" / "last", generators, info)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b"):
        _save(folder / f"{name}.jpg")
    return folder


def _save(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)).save(path)


def _translate(*arguments: object) -> Result:
    direction = () if "--direction" in arguments else ("--direction", "ab")
    return CliRunner().invoke(main, ["translate", *map(str, arguments), *direction])


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_best_bundle_of_a_run_is_taken_and_named(run: Path, photos: Path, tmp_path: Path) -> None:
    both = shutil.copytree(run, tmp_path / "both")
    shutil.copytree(both / "bundle" / "last", both / "bundle" / "best")
    result = _translate(photos, tmp_path / "out", "--model", both)
    assert result.exit_code == 0
    assert f"The model is {both}/bundle/best, step 0. --which last takes the newest one." in result.stderr
    last = _translate(photos, tmp_path / "last", "--model", both, "--which", "last")
    assert last.exit_code == 0 and "The model is" not in last.stderr


def test_success_says_how_many_and_exits_with_0(run, photos, tmp_path):
    result = _translate(photos, tmp_path / "out", "--model", run, "--direction", "ab")
    assert (result.exit_code, result.stdout) == (0, f"Images translated to {tmp_path / 'out'}: 2.\n")
    assert re.fullmatch(r"1/2 images, [0-9.]+ images/s\n2/2 images, [0-9.]+ images/s\n", result.stderr)
    assert _names(tmp_path / "out") == ["a.png", "b.png", "report.json"]


@pytest.fixture(scope="module")
def translations(run, tmp_path_factory) -> dict[str, bytes]:
    """The translation of one image with a run, with its bundle, and in the other direction."""
    folder = tmp_path_factory.mktemp("translations")
    _save(folder / "a.jpg")
    found = {}
    for name, model, direction in [
        ("run", run, "ab"),
        ("bundle", run / "bundle" / "last", "ab"),
        ("back", run, "ba"),
    ]:
        output = folder / f"{name}.png"
        assert _translate(folder / "a.jpg", output, "--model", model, "--direction", direction).exit_code == 0
        found[name] = output.read_bytes()
    return found


def test_run_and_its_bundle_give_the_same(translations):
    assert translations["run"] == translations["bundle"]


def test_directions_differ(translations):
    assert translations["run"] != translations["back"]


def test_existing_files_are_counted_and_overwrite_replaces_them(run, photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    result = _translate(photos, out, "--model", run)
    expected = f"Images translated to {out}: 1. Skipped, because their files exist: 1.\n"
    assert (result.exit_code, result.stdout) == (0, expected)
    assert (out / "a.png").read_bytes() == b"mine"
    result = _translate(photos, out, "--model", run, "--overwrite")
    assert (result.exit_code, result.stdout) == (0, f"Images translated to {out}: 2.\n")
    assert (out / "a.png").read_bytes() != b"mine"


def test_broken_image_is_named_on_one_line_and_exits_with_1(run, photos, tmp_path):
    (photos / "[bold]b.jpg").write_bytes(b"")
    result = _translate(photos, tmp_path / "out", "--model", run)
    assert (result.exit_code, result.stdout) == (1, f"Images translated to {tmp_path / 'out'}: 2. Failed: 1.\n")
    assert f"{photos / '[bold]b.jpg'}: the file is empty\n" in result.stderr
    assert re.search(r"^2/3 images, 1 failed, [0-9.]+ images/s$", result.stderr, re.MULTILINE)
    assert _names(tmp_path / "out") == ["a.png", "b.png", "report.json"]


def test_progress_gives_no_speed_before_the_first_translation_and_counts_one_image(run, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    result = _translate(tmp_path / "a.jpg", tmp_path / "out", "--model", run)
    assert result.stderr.splitlines()[1:] == ["0/1 image, 1 failed"]


@pytest.mark.parametrize(
    ("input", "output", "model"),
    [
        ("missing", "out", "run"),
        ("empty", "out", "run"),
        ("photos", "photos/out", "run"),
        ("photos", "out", "missing"),
        ("photos", "out", "empty"),
    ],
)
def test_wrong_paths_are_one_line_and_exit_with_2(run, photos, tmp_path, input, output, model):
    (tmp_path / "empty").mkdir()
    result = _translate(tmp_path / input, tmp_path / output, "--model", run if model == "run" else tmp_path / model)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / output).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--direction", "ab"], "Missing option '--model'"),
        (["--model", "run"], "Missing option '--direction'"),
        (["--model", "run", "--direction", "aa"], "'aa' is not one of"),
    ],
)
def test_missing_and_wrong_required_options_are_one_line_and_exit_with_2(photos, tmp_path, options, message):
    result = CliRunner().invoke(main, ["translate", str(photos), str(tmp_path / "out"), *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "line", "code"), [(signal.SIGINT, "Interrupted.\n", 130), (signal.SIGTERM, "Terminated.\n", 143)]
)
def test_ctrl_c_and_sigterm_keep_whole_files_and_the_same_command_continues(run, photos, tmp_path, number, line, code):
    with Image.open(photos / "a.jpg") as image:
        image.resize((256, 256)).save(photos / "c.jpg")
    for copy in range(97):
        (photos / f"{copy}.jpg").hardlink_to(photos / "c.jpg")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "cyclegan", "translate", photos, out, "--model", run, "--direction", "ab"]
    # Shells start background jobs with SIGINT ignored, and their children inherit that.
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True, preexec_fn=listen) as process:
        assert process.stderr
        while (said := process.stderr.readline()) and not said.startswith("10/100 images"):
            pass
        process.send_signal(number)
        assert process.stderr.read().endswith(line)
    assert process.returncode == code
    written = list(out.glob("*.png"))
    assert len(json.loads((out / "report.json").read_text())["translated"]) == len(written)
    assert 10 <= len(written) < 100
    for path in written:
        with Image.open(path) as image:
            image.load()
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, len(list(out.glob("*.png")))) == (0, 100)
    assert done.stdout.endswith(f" Skipped, because their files exist: {len(written)}.\n")


@pytest.mark.slow
def test_script_translates_a_folder(run, photos, tmp_path):
    script = CHECKOUT / "scripts" / "translate_folder.sh"
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        ["sh", script, run, f"{photos}/"], cwd=CHECKOUT, env=environment, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert _names(tmp_path / "photos-ab") == ["a.png", "b.png", "report.json"]
    assert subprocess.run(["sh", script], capture_output=True, timeout=60).returncode == 2


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--size", "huge"), "must be auto, native or a number of pixels. Received: huge."),
        (("--size", "0"), "Received: 0."),
        (("--memory-limit", "4"), "must be a number with a unit, such as 800M or 4G. Received: 4."),
        (("--memory-limit", "0G"), "Received: 0G."),
        (("--tile", "0"), "0 is not in the range x>=1"),
        (("--quality", "101"), "101 is not in the range 1<=x<=100"),
        (("--format", "gif"), "'gif' is not one of"),
        (("--engine", "spark"), "'spark' is not one of"),
        (("--devices", "tpu"), "`--devices` must be one of"),
        (("--engine", "ray", "--devices", "cpu:2"), "Leave out `--devices`. Received: --devices cpu:2."),
        (("--grid", "sheet.gif"), "`--grid` must end in .png .jpg .jpeg .webp. Received: sheet.gif."),
    ],
)
def test_wrong_options_are_one_line_and_write_nothing(run, photos, tmp_path, option, message):
    result = _translate(photos, tmp_path / "out", "--model", run, *option)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_options_reach_the_work(run, photos, tmp_path):
    arguments = ("--size", "32", "--memory-limit", "1.5G", "--tile", "8", "--quality", "50", "--format", "webp")
    result = _translate(photos / "a.jpg", photos / "b.jpg", tmp_path / "out", "--model", run, *arguments)
    assert result.exit_code == 0
    assert _names(tmp_path / "out") == ["a.webp", "b.webp", "report.json"]
    settings = json.loads((tmp_path / "out" / "report.json").read_text())["settings"]
    expected = {"size": 32, "memory_limit": 1.5e9, "tile": 8, "quality": 50, "direction": "ab"}
    assert settings.items() >= expected.items()


def test_gallery_and_grid_are_written_where_they_are_said_to_be(run, photos, tmp_path):
    out, sheet = tmp_path / "out", tmp_path / "sheet.png"
    result = _translate(photos, out, "--model", run, "--gallery", "--cycle", "--grid", sheet)
    assert result.exit_code == 0 and f"open {out / 'index.html'}." in result.stdout
    assert sheet.is_file() and (out / "index.html").is_file() and (out / "a.cycled.png").is_file()
