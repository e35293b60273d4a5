import importlib
import os
import pathlib
import signal
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner, Result

from cyclegan.cli.main import COMMANDS, main
from cyclegan.errors import CycleganError, UsageError

CHECKOUT = pathlib.Path(__file__).parents[2]


def _run(monkeypatch: pytest.MonkeyPatch, error: BaseException, *options: str) -> Result:
    """Runs a command of `cyclegan` that ends with `error`."""

    @click.command()
    def fail() -> None:
        raise error

    monkeypatch.setitem(main.commands, "fail", fail)
    return CliRunner().invoke(main, [*options, "fail"])


def test_wrong_use_is_one_line_and_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    result = _run(monkeypatch, UsageError("`crop_size` must be at most 128. Received: 256."))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: `crop_size` must be at most 128. Received: 256.\n"


def test_failure_is_one_line_and_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    result = _run(monkeypatch, CycleganError("The disk is full."))
    assert (result.exit_code, result.stderr) == (1, "Error: The disk is full.\n")


def test_debug_shows_the_traceback_and_keeps_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    result = _run(monkeypatch, UsageError("No."), "--debug")
    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback ")
    assert result.stderr.endswith("Error: No.\n")


def test_ctrl_c_is_one_line_and_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    result = _run(monkeypatch, KeyboardInterrupt())
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


def test_sigterm_is_one_line_and_exit_code_143(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def terminate() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setitem(main.commands, "terminate", terminate)
    result = CliRunner().invoke(main, ["terminate"])
    assert (result.exit_code, result.stderr) == (143, "Terminated.\n")
    assert signal.getsignal(signal.SIGTERM) == before


def test_any_other_exception_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(_run(monkeypatch, ZeroDivisionError()).exception, ZeroDivisionError)


def test_an_unknown_command_is_answered_with_the_nearest_one() -> None:
    result = CliRunner().invoke(main, ["trian"], prog_name="cyclegan")
    assert result.stderr == "Error: No such command 'trian'. Did you mean 'train'? See `cyclegan --help`.\n"


@pytest.mark.parametrize("arguments", [["trian"], ["version", "--no-such-option"], ["version", "too", "many"]])
def test_unknown_command_option_and_argument_exit_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_help_does_not_import_tensorflow(arguments: list[str]) -> None:
    program = (
        "import sys; from cyclegan.cli.main import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    command = [sys.executable, "-c", program, *arguments, "--help"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: ")


def test_every_module_with_a_command_is_listed() -> None:
    names = {path.stem for path in (CHECKOUT / "cyclegan/cli").glob("*.py")} - {"__init__"}
    modules = {name: importlib.import_module(f"cyclegan.cli.{name}") for name in names}
    assert {name.replace("_", "-") for name in names if hasattr(modules[name], "command")} == set(COMMANDS)


def test_help_lists_every_command() -> None:
    listed = CliRunner().invoke(main, ["--help"]).stdout
    assert all(f"  {name} " in listed for name in COMMANDS)


def test_closed_pipe_is_silent() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "cyclegan", "--help"]
    with open(write_end, "wb") as pipe:
        done = subprocess.run(command, cwd=CHECKOUT, stdout=pipe, stderr=subprocess.PIPE, timeout=60)
    assert done.stderr == b""


def test_a_command_whose_outputs_are_closed_does_its_work() -> None:
    # `version` starts TensorFlow, which writes to both outputs itself.
    command = ["bash", "-c", 'exec "$0" -m cyclegan version >&- 2>&-', sys.executable]
    assert subprocess.run(command, timeout=100).returncode == 0


def test_an_error_about_a_strange_name_is_still_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    result = _run(monkeypatch, CycleganError("a\nb\x1b[31m\udce9.png is empty."))
    assert result.stderr == "Error: a\\nb\\x1b[31m\\udce9.png is empty.\n"
