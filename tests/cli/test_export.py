import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import keras
import pytest
from click.testing import CliRunner, Result

from cyclegan.bundles.bundle import save_bundle
from cyclegan.bundles.info import bundle_info
from cyclegan.cli.main import main
from cyclegan.config.files import load_config
from cyclegan.export.formats import FORMATS
from cyclegan.networks.generators import build_generator

CHECKOUT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The part of a run directory that `export` reads."""
    keras.utils.set_random_seed(0)
    config = load_config("smoke")
    folder = tmp_path_factory.mktemp("run")
    save_bundle(folder / "bundle" / "last", {"ab": build_generator(config.generator)}, bundle_info(config, step=0))
    return folder


def _export(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


@pytest.mark.parametrize(("size", "expected"), [(None, "dynamic"), ("16", [16, 16])])
def test_export_of_a_run_prints_two_lines_and_keeps_a_record(run, tmp_path, size, expected):
    options = ["--size", size] if size else []
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'cyclegan[onnx]'")
    output = tmp_path / "g.onnx"
    result = _export("--model", run, "--direction", "ab", "--format", "onnx", "--output", output, *options)
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()
    assert first == f"{output}: generator ab of {run / 'bundle' / 'last'}"
    found = json.loads((tmp_path / "g.onnx.json").read_text())
    assert second == (
        f"onnxruntime {found['runtime_version']} beside Keras: largest difference {found['largest_difference']:.2g},"
        f" PSNR {found['psnr_db']:.1f} dB, {found['speed_ratio']:.2f} times as fast"
    )
    assert found["size"] == expected


def test_height_comes_before_width(run, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert: pip install 'cyclegan[litert]'")
    arguments = ["--model", run, "--direction", "ab", "--format", "litert", "--output", tmp_path / "g.tflite"]
    assert _export(*arguments, "--size", "12x20").exit_code == 0
    assert json.loads((tmp_path / "g.tflite.json").read_text())["shapes"] == [[1, 12, 20, 3]] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "keras", "--size", "12,20"], "`--size` must be N, HEIGHTxWIDTH or dynamic. Received: 12,20."),
        (["--format", "keras", "--size", "x12"], "Received: x12."),
        (["--format", "keras", "--size", "-8"], "Received: -8."),
        (["--format", "keras", "--size", "8x8x3"], "Received: 8x8x3."),
        (["--format", "keras", "--size", "10"], "`--size` must be a multiple of 4 and at least 8"),
        (["--format", "pytorch", "--size", "64"], "`--size` is not for --format pytorch. Leave it out."),
        (["--format", "pytorch", "--images", "."], "`--images` is not for --format pytorch. Leave it out."),
        (
            ["--format", "keras", "--quantize", "int8"],
            "`--quantize int8` is for --format litert. Received: --format keras.",
        ),
        (["--format", "keras", "--direction", "ba"], "`direction` must be one of ab"),
        (["--format", "tensorrt"], f"'tensorrt' is not one of {', '.join(map(repr, FORMATS))}"),
    ],
)
def test_wrong_request_is_one_line_and_leaves_nothing(run, tmp_path, options, message):
    result = _export("--model", run, "--direction", "ab", "--output", tmp_path / "g.keras", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ") and message in result.stderr and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_nothing_but_our_lines_is_printed(run, tmp_path):
    """Converters print pages of text, some of it from C++."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'cyclegan[onnx]'")
    arguments = ["--model", run, "--direction", "ab", "--format", "onnx", "--output", tmp_path / "g.onnx"]
    command = [sys.executable, "-m", "cyclegan", "export", *map(str, arguments)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 2, "")


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [".*.tmp", ".*.tmp/generator.onnx"], ids=["at the start", "when it is written"])
def test_sigterm_leaves_nothing_of_the_export_and_everything_else(run, tmp_path, pattern):
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'cyclegan[onnx]'")
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    for folder in (out, temporary):
        folder.mkdir()
    (out / "other.onnx").write_text("mine")
    arguments = ["--model", run, "--direction", "ab", "--format", "onnx", "--output", out / "g.onnx"]
    command = [sys.executable, "-m", "cyclegan", "export", *map(str, arguments)]
    environment = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not list(out.glob(pattern)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.01)
                pytest.fail("the export ended before it could be stopped")
        process.send_signal(signal.SIGTERM)
        assert process.stderr and process.stderr.read() == "Terminated.\n"
    assert process.returncode == 143
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("other.onnx", "mine")]
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_script_exports_to_every_format(run, tmp_path):
    for package in ("onnxruntime", "ai_edge_litert", "torch"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'cyclegan[litert,onnx,pytorch]'")
    script = CHECKOUT / "scripts" / "export_all.sh"
    environment = {**os.environ, "PYTHON": sys.executable}
    arguments = ["sh", script, run, tmp_path / "exports"]
    done = subprocess.run(arguments, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    names = {path.name.removeprefix("generator_ab") for path in (tmp_path / "exports").iterdir()}
    assert {".keras", "_savedmodel", ".tflite", ".onnx", ".pth"} <= names
    exports = {entry.suffix or f"_{name}": entry for name, entry in FORMATS.items()}
    assert names == exports.keys() | {f"{name}.json" for name, entry in exports.items() if entry.load}


def test_script_without_arguments_says_how_to_call_it():
    script = CHECKOUT / "scripts" / "export_all.sh"
    done = subprocess.run(["sh", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "scripts/export_all.sh RUN OUTPUT [ab|ba]" in done.stderr


def test_help_has_a_line_for_every_format():
    lines = _export("--help").stdout.splitlines()
    for name, entry in FORMATS.items():
        assert f"  {name:<10}  {entry.summary}" in lines
