import pytest
from click.testing import CliRunner

from cyclegan.cli.main import main


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs of two steps that differ by their seed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CYCLEGAN_DATA_DIR", str(tmp_path / "data"))
    from cyclegan.data.stripes import write_stripes

    write_stripes(tmp_path / "photos", num_train=8, num_test=3)
    options = ["--config", "smoke", "--steps", "2", "--set", "data.validation_fraction=0.25"]
    for seed in (1, 2):
        arguments = ["train", "--dataset", "photos", *options, "--seed", str(seed), "--run-dir", f"run-{seed}"]
        assert CliRunner().invoke(main, arguments).exit_code == 0
    return tmp_path


def test_runs_are_shown_side_by_side_with_their_translations(runs):
    result = CliRunner().invoke(main, ["compare", "run-1", "run-2", "--num-images", "2", "--output", "page.html"])
    assert result.exit_code == 0, result.output
    assert result.stdout == "To see the runs, open page.html.\n"
    page = (runs / "page.html").read_text()
    assert page.count("<img") == 12  # for both directions two images, each beside two translations
    assert "Spread over seeds" in page and "Translations, ba" in page


def test_data_that_has_moved_costs_the_pictures_alone(runs):
    (runs / "photos").rename(runs / "elsewhere")
    result = CliRunner().invoke(main, ["compare", "run-1", "--output", "page.html"])
    assert result.exit_code == 0, result.output
    assert "The page shows no translations, because the test images of run-1 are not found:" in result.stderr
    assert "Translations" not in (runs / "page.html").read_text()


def test_a_foreign_file_is_kept(runs):
    (runs / "page.html").write_text("mine")
    result = CliRunner().invoke(main, ["compare", "run-1", "--output", "page.html"])
    assert result.exit_code == 2 and (runs / "page.html").read_text() == "mine"
