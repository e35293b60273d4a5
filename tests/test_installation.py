"""The package in the ways that people install it: its files are found from any folder."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest

CHECKOUT = pathlib.Path(__file__).parents[1]
SOURCES = ["LICENSE", "README.md", "configs", "cyclegan", "pyproject.toml", "setup.cfg"]
PRESETS = sorted(path.stem for path in (CHECKOUT / "configs").glob("*.yaml"))


def _modules_and_other_files(package: pathlib.Path) -> list[pathlib.Path]:
    found = [path for pattern in ("*.py", "*.html", "py.typed") for path in package.rglob(pattern)]
    return sorted(path.relative_to(package.parent) for path in found)


pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the sources, so that a build does not leave files in the real checkout."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in SOURCES:
        if (CHECKOUT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(CHECKOUT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(CHECKOUT / name, folder)
    return folder


@pytest.fixture
def environment(tmp_path: pathlib.Path) -> pathlib.Path:
    """A new virtual environment with the libraries of the present one, but without cyclegan."""
    folder = tmp_path / "environment"
    venv.create(folder)
    # Python does not search these folders for further .pth files, so an editable cyclegan in them is not found.
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "lib" / version / "site-packages" / "libraries.pth").write_text("\n".join(libraries))
    return folder


def _run(command: list[str | pathlib.Path], folder: pathlib.Path) -> str:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _install(environment: pathlib.Path, *what: str | pathlib.Path) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    pip: list[str | pathlib.Path] = [sys.executable, "-m", "pip", "--python", environment / "bin/python"]
    _run([*pip, "install", *options, "--ignore-installed", *what], environment)


def _presets_and_package(environment: pathlib.Path, folder: pathlib.Path) -> tuple[list[str], pathlib.Path]:
    """The presets that a program finds which is started in `folder`, and the package that it uses."""
    program = (
        "import cyclegan; from cyclegan.config.files import preset_names\n"
        "print(cyclegan.__file__, *preset_names(), sep='\\n')"
    )
    package, *presets = _run([environment / "bin/python", "-c", program], folder).splitlines()
    return presets, pathlib.Path(package).parent


def test_plain_install_has_all_modules_templates_and_presets(
    checkout: pathlib.Path, environment: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    _install(environment, checkout)
    shutil.rmtree(checkout)
    presets, package = _presets_and_package(environment, tmp_path)
    assert presets == PRESETS
    assert package.is_relative_to(environment)
    assert _modules_and_other_files(package) == _modules_and_other_files(CHECKOUT / "cyclegan")
    assert _run([environment / "bin/cyclegan", "--help"], tmp_path).startswith("Usage: cyclegan ")


def test_editable_install_finds_the_presets_of_the_checkout(
    checkout: pathlib.Path, environment: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    _install(environment, "--editable", checkout)
    presets, package = _presets_and_package(environment, tmp_path)
    assert presets == PRESETS
    assert package == checkout / "cyclegan"
    (checkout / "configs" / "added.yaml").write_text("{}")
    assert _presets_and_package(environment, tmp_path)[0] == sorted([*PRESETS, "added"])
    assert _run([environment / "bin/cyclegan", "--help"], tmp_path).startswith("Usage: cyclegan ")


def test_checkout_runs_without_an_installation(checkout: pathlib.Path, environment: pathlib.Path) -> None:
    presets, package = _presets_and_package(environment, checkout)
    assert presets == PRESETS
    assert package == checkout / "cyclegan"
    usage = _run([environment / "bin/python", "-m", "cyclegan", "--help"], checkout)
    assert usage.startswith("Usage: python -m cyclegan ")


def test_checkout_comes_before_an_installed_package(checkout: pathlib.Path, environment: pathlib.Path) -> None:
    _install(environment, checkout)
    presets, package = _presets_and_package(environment, checkout)
    assert presets == PRESETS
    assert package == checkout / "cyclegan"
