import json

import pytest
from click.testing import CliRunner

from cyclegan.bundles import places
from cyclegan.bundles.bundle import load_bundle
from cyclegan.bundles.packing import pack_bundle
from cyclegan.cli.main import main


@pytest.fixture
def bundle(tmp_path, make_bundle):
    return make_bundle(tmp_path / "bundle")


def models(*arguments):
    return CliRunner().invoke(main, ["models", *map(str, arguments)])


def test_the_models_of_the_program_are_listed_and_shown(bundle, tmp_path, monkeypatch):
    pack_bundle(bundle, tmp_path / "models" / "horses", "horses", notes="The images are free.")
    monkeypatch.setattr(places, "MODELS", tmp_path / "models")
    monkeypatch.setattr("cyclegan.cli.models.MODELS", tmp_path / "models")
    (line,) = models("list").stdout.splitlines()
    assert line.split()[:5] == ["horses", "ab,", "ba", "64", "pixels"] and "0.0 MB" in line
    shown = models("show", "horses").stdout
    assert "# horses" in shown and "The images are free." in shown


def test_a_program_without_models_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "MODELS", tmp_path)
    result = models("list")
    assert result.exit_code == 0 and "No model comes with this version" in result.output


def test_a_bundle_without_a_card_shows_what_it_knows(bundle):
    assert json.loads(models("show", bundle.folder).stdout)["crop_size"] == 64


def test_a_bundle_is_packed_with_its_card(bundle, tmp_path):
    (tmp_path / "notes.md").write_text("It knows no giraffes.")
    result = models("pack", bundle.folder, tmp_path / "packed", "--notes", tmp_path / "notes.md")
    assert result.exit_code == 0, result.output
    assert f"is packed in {tmp_path / 'packed'}: " in result.stdout and "does not say what licence" not in result.stdout
    assert "It knows no giraffes." in (tmp_path / "packed" / "README.md").read_text()
    assert load_bundle(tmp_path / "packed").info.weights.keys() == {"ab", "ba"}
    again = models("pack", bundle.folder, tmp_path / "packed")
    assert again.exit_code == 0 and "does not say what licence" not in again.stdout
    assert "It knows no giraffes." in (tmp_path / "packed" / "README.md").read_text()
    other = models("pack", bundle.folder, tmp_path / "other")
    assert other.exit_code == 0 and "Its card does not say what licence" in other.stdout


@pytest.mark.parametrize(
    ("option", "content", "message"),
    [
        ("--scores", "{", "must be a file of `cyclegan evaluate --json`"),
        ("--notes", None, "cannot be read: No such file"),
    ],
)
def test_wrong_files_are_refused(bundle, tmp_path, option, content, message):
    if content:
        (tmp_path / "file").write_text(content)
    result = models("pack", bundle.folder, tmp_path / "packed", option, tmp_path / "file")
    assert result.exit_code == 2 and message in result.stderr and not (tmp_path / "packed").exists()


def test_a_folder_of_something_else_is_kept(bundle, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    result = models("pack", bundle.folder, tmp_path / "mine")
    assert result.exit_code == 2 and "must be a new or empty folder" in result.stderr
