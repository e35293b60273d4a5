"""The files around the package agree with it: exact versions with ranges, the citation with the version."""

import configparser
import pathlib
import re

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import cyclegan

CHECKOUT = pathlib.Path(__file__).parents[1]
UNPINNED_EXTRAS = {"gpu"}  # Its packages cannot be tested without a GPU.


def _ranges() -> list[Requirement]:
    """Every requirement in setup.cfg, of the core and of the extras."""
    settings = configparser.ConfigParser()
    settings.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    extras = settings["options.extras_require"]
    texts = [settings["options"]["install_requires"], *(extras[name] for name in extras if name not in UNPINNED_EXTRAS)]
    lines = (line.partition("#")[0].strip() for text in texts for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def _pins() -> dict[str, Requirement]:
    """Every line of constraints.txt that is not a comment, by the name of its package."""
    lines = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


@pytest.mark.parametrize("name", _pins())
def test_constraints_are_exact_versions(name: str) -> None:
    pin = _pins()[name]
    assert pin.url is None
    assert [specifier.operator for specifier in pin.specifier] == ["=="]


@pytest.mark.parametrize("requirement", _ranges(), ids=str)
def test_constraints_are_within_the_ranges_of_setup_cfg(requirement: Requirement) -> None:
    (pin,) = _pins()[canonicalize_name(requirement.name)].specifier
    assert requirement.specifier.contains(pin.version)


def releases() -> list[tuple[str, str]]:
    """The version and the date of each release, the newest first, as the changelog says."""
    changelog = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.findall(r"^## \[([\d.]+)\] - (\S+)$", changelog, re.MULTILINE)


def test_citation_names_the_newest_release() -> None:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], str(citation["date-released"])) == releases()[0]


def test_package_is_the_newest_release_or_comes_after_it() -> None:
    assert Version(cyclegan.__version__) >= Version(releases()[0][0])


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "SECURITY.md"])
def test_test_modules_that_a_document_names_exist(document: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", (CHECKOUT / document).read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (CHECKOUT / name).is_file()] == []
