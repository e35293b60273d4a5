import importlib.metadata
import platform

from click.testing import CliRunner

import cyclegan
from cyclegan.cli.main import main


def test_version_names_what_a_bug_report_needs() -> None:
    result = CliRunner().invoke(main, ["version"], catch_exceptions=False)
    assert result.exit_code == 0
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    shown = {name: value for name, value in lines if name != "device"}
    assert shown["cyclegan"] == cyclegan.__version__
    assert shown["python"] == platform.python_version()
    assert shown["tensorflow"] == importlib.metadata.version("tensorflow")
    assert shown["keras"] == importlib.metadata.version("keras")
    assert shown["platform"] == platform.platform()
    assert int(shown["CPUs"]) >= 1
    assert any(name == "device" and value.startswith("CPU:0") for name, value in lines)
