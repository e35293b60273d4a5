import pathlib
import shutil

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cyclegan.cli.main import main
from cyclegan.data.named import NAMED


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Different images of 40 x 40 pixels: two in trainA, one in trainB."""
    noise = np.random.default_rng(0)
    for name in ("trainA/1.png", "trainA/2.png", "trainB/1.png"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    return tmp_path / "set"


def test_list_says_what_is_on_disk(tmp_path: pathlib.Path) -> None:
    (tmp_path / "maps").mkdir()
    result = run("list", "--data-dir", tmp_path)
    assert result.exit_code == 0
    last_words = {line.split()[0]: line.split()[-1] for line in result.output.splitlines()[1:]}
    assert list(last_words) == list(NAMED)
    assert [name for name, word in last_words.items() if word == "disk"] == ["maps"]


def test_list_looks_where_the_environment_says(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYCLEGAN_DATA_DIR", str(tmp_path))
    assert str(tmp_path) in run("list").output.splitlines()[0]


def test_prepare_says_where_the_data_set_is(tmp_path: pathlib.Path) -> None:
    (tmp_path / "maps").mkdir()
    result = run("prepare", "maps", "--data-dir", tmp_path)
    assert (result.exit_code, result.output) == (0, f"maps is in {tmp_path / 'maps'}\n")


def test_prepare_of_an_unknown_name_is_wrong_use(tmp_path: pathlib.Path) -> None:
    result = run("prepare", "stripe", "--data-dir", tmp_path)
    assert result.exit_code == 2
    assert "`stripe` is not a data set. Did you mean `stripes`?" in result.stderr
    assert "folder" not in result.stderr and result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_check_names_a_folder_that_a_training_would_miss(folder: pathlib.Path) -> None:
    shutil.rmtree(folder / "trainB")
    result = run("check", folder)
    assert result.output == "trainA: 2 images\ntrainB is missing, and a training needs it.\n"


def test_check_shows_a_name_that_would_command_the_terminal_in_one_line(folder: pathlib.Path) -> None:
    (folder / "trainA" / "a\nb\x1b[31m.png").touch()
    assert "\n  trainA/a\\nb\\x1b[31m.png: the file is empty\n" in run("check", folder).output


def test_check_of_a_good_folder_counts_and_succeeds(folder: pathlib.Path) -> None:
    result = run("check", folder)
    assert result.exit_code == 0
    assert result.output == "trainA: 2 images\ntrainB: 1 image\nNo problems were found.\n"


def test_check_lists_duplicates_and_succeeds(folder: pathlib.Path) -> None:
    (folder / "trainB/2.png").write_bytes((folder / "trainA/2.png").read_bytes())
    result = run("check", folder)
    assert result.exit_code == 0
    assert "duplicate: 1\n  trainB/2.png: it is the same image as trainA/2.png" in result.output


@pytest.mark.parametrize(("kept", "kind"), [(0, "unreadable"), (2000, "truncated")])
def test_check_fails_for_files_that_cannot_be_read(folder: pathlib.Path, kept: int, kind: str) -> None:
    path = folder / "trainA/1.png"
    path.write_bytes(path.read_bytes()[:kept])
    result = run("check", folder)
    assert result.exit_code == 1
    assert f"{kind}: 1\n  trainA/1.png: " in result.output


def test_check_of_a_missing_folder_is_wrong_use(tmp_path: pathlib.Path) -> None:
    result = run("check", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "nowhere" in result.stderr and result.stderr.count("\n") == 1
