"""Finds the golden cases, and prints by how much each differs.

Cases are read from `tests/golden`, which is part of the project, and from `$CYCLEGAN_GOLDEN_DIR`, by default
`../shared/golden` beside the checkout, if that is there.
"""

import os
import pathlib
import re

import pytest

OWN = pathlib.Path(__file__).parents[1] / "golden"
BESIDE_CHECKOUT = pathlib.Path(__file__).parents[3] / "shared" / "golden"
FIGURES = pytest.StashKey[list[tuple[str, str, float, float]]]()


def golden_folders():
    asked = os.environ.get("CYCLEGAN_GOLDEN_DIR")
    if asked and not any(pathlib.Path(asked).rglob("*.npz")):
        raise pytest.UsageError(f"CYCLEGAN_GOLDEN_DIR must hold golden cases. Received: {asked}, which has none.")
    folder = pathlib.Path(asked) if asked else BESIDE_CHECKOUT
    return [OWN, *([folder] if folder.is_dir() and folder.resolve() != OWN else [])]


def pytest_generate_tests(metafunc):
    """Every network and every trajectory of every folder."""
    for argument, pattern in (("network", "*.weights.npz"), ("trajectory", "step_*/settings.json")):
        if argument in metafunc.fixturenames:
            found = [path for folder in golden_folders() for path in sorted(folder.glob(pattern))]
            cases = [path if argument == "network" else path.parent for path in found]
            names = [f"{case.parent.parent.name}/{case.name.removesuffix('.weights.npz')}" for case in cases]
            metafunc.parametrize(argument, cases, ids=names)


@pytest.fixture
def figure(request):
    """Takes (what, largest difference, limit), for the table at the end, and holds the difference to the limit."""
    case = re.sub(r".*\[(.*)\]", r"\1", request.node.name)

    def note(what: str, difference: float, limit: float) -> None:
        request.config.stash.setdefault(FIGURES, []).append((case, what, difference, limit))
        assert difference <= limit

    return note


def pytest_terminal_summary(terminalreporter, config):
    """The table."""
    figures = config.stash.get(FIGURES, [])
    if not figures:
        return
    terminalreporter.section("largest difference to the PyTorch reference")
    width = max(len(case) for case, *_ in figures)
    for case, what, difference, limit in figures:
        terminalreporter.write_line(f"{case:<{width}}  {what:<54} {difference:.1e}  (limit {limit:g})")
    for folder in (path for path in (OWN, BESIDE_CHECKOUT) if not path.is_dir()):
        terminalreporter.write_line(f"not there: {folder}")
