import pathlib

import pytest

from cyclegan.config.sections import DataConfig
from cyclegan.data.sources import resolve_source


@pytest.fixture(scope="session")
def drawn_stripes(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, list[str]]:
    """A data directory with the whole built-in data set, and what was reported while it was drawn."""
    data_dir = tmp_path_factory.mktemp("data") / "new"
    lines: list[str] = []
    resolve_source(DataConfig(dataset="stripes"), data_dir, lines.append)
    return data_dir, lines
