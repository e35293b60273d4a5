import pathlib

import pytest

from cyclegan.data.named import NAMED


@pytest.mark.parametrize("name", NAMED)
def test_named_set_is_not_on_disk_in_an_empty_folder(tmp_path: pathlib.Path, name: str) -> None:
    assert not NAMED[name].is_on_disk(tmp_path)


def test_drawn_set_is_on_disk(drawn_stripes: tuple[pathlib.Path, list[str]]) -> None:
    assert NAMED["stripes"].is_on_disk(drawn_stripes[0])


def test_prepared_set_is_returned_without_a_report(drawn_stripes: tuple[pathlib.Path, list[str]]) -> None:
    folder = NAMED["stripes"].prepare(drawn_stripes[0], pytest.fail)
    assert folder.parent == drawn_stripes[0]
