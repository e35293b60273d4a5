import json
import shutil

import pytest
from click.testing import CliRunner
from PIL import Image

from cyclegan.cli.main import main
from cyclegan.data.stripes import write_stripes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a small data set in `photos`, and a run that was trained on it for two steps in `run`."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_stripes(folder / "photos", num_train=6, num_test=4)
    (folder / "empty").mkdir()
    (folder / "small").mkdir()
    Image.new("RGB", (5, 40)).save(folder / "small" / "a.png")
    (folder / "mine.json").write_text('{"mine": 1}')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CYCLEGAN_XLA_CACHE", "off")
        arguments = ["--config", "smoke", "--dataset", "photos", "--steps", "2", "--run-dir", "run"]
        result = CliRunner().invoke(main, ["train", *arguments])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def evaluate(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return lambda *arguments: CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def test_a_run_is_scored_in_both_directions_without_a_network(evaluate, tmp_path):
    result = evaluate("--model", "run", "--dataset", "photos", "--json", tmp_path / "scores.json")
    assert result.exit_code == 0, result.output
    assert "run/bundle/last, step 2, ab" in result.stdout and "run/bundle/last, step 2, ba" in result.stdout
    assert "KID and the Frechet distance need --features" in result.stdout
    written = json.loads((tmp_path / "scores.json").read_text())
    assert [scores["distances"].keys() == {"SWD"} for scores in written] == [True, True]
    assert {"cycle L1", "structure kept"} <= written[0]["content"].keys()
    assert written[0]["content"]["cycle L1"].keys() == {"value", "low", "high", "spread"}


def test_the_tables_say_how_many_images_they_are_of(evaluate):
    result = evaluate("--model", "run", "--direction", "ab")
    assert "step 2, ab, beside 4 images of the target domain" in result.stdout
    row = next(line for line in result.stdout.splitlines() if "images " in line and "│" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["images", "4", "4", "4"]
    assert "A set of fewer than 100 images makes rough scores" in result.stdout


def test_scores_that_cannot_be_written_are_printed_first(evaluate, monkeypatch, tmp_path):
    def refuse(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cyclegan.evaluation.scores_file.write_atomically", refuse)
    result = evaluate("--model", "run", "--direction", "ab", "--json", tmp_path / "scores.json")
    assert result.exit_code == 1 and "cycle L1" in result.stdout
    assert result.stderr.endswith("scores.json cannot be written: No space left on device.\n")


def test_scores_that_nobody_reads_are_written(evaluate, monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        raise BrokenPipeError

    monkeypatch.setattr("cyclegan.cli.evaluate.show_scores", refuse)
    assert evaluate("--model", "run", "--direction", "ab", "--json", tmp_path / "scores.json").exit_code == 1
    assert len(json.loads((tmp_path / "scores.json").read_text())) == 1


@pytest.fixture
def scored(folder, tmp_path):
    """A copy of the run that also has a best bundle."""
    shutil.copytree(folder / "run", tmp_path / "scored")
    shutil.copytree(tmp_path / "scored" / "bundle" / "last", tmp_path / "scored" / "bundle" / "best")
    return tmp_path / "scored"


def test_a_bundle_that_is_damaged_costs_no_other_scores(evaluate, scored, tmp_path):
    (weights,) = (scored / "bundle" / "last").glob("generator_ab-*.npz")
    weights.write_bytes(weights.read_bytes()[:-100])
    options = ["--dataset", "photos", "--json", tmp_path / "scores.json", "--images", tmp_path / "images"]
    result = evaluate("--model", scored, "--direction", "ab", *options)
    assert result.exit_code == 1 and "bundle/best, step 2, ab" in result.stdout
    assert f"{scored}/bundle/last, ab, cannot be scored: The weights" in result.stderr
    assert len(json.loads((tmp_path / "scores.json").read_text())) == 1
    assert len(list((tmp_path / "images" / "best-ab" / "translated").iterdir())) == 4


def test_a_run_without_its_last_bundle_is_scored_by_its_best_one(evaluate, scored):
    shutil.rmtree(scored / "bundle" / "last")
    result = evaluate("--model", scored, "--dataset", "photos", "--direction", "ab")
    assert result.exit_code == 0 and "Only the best bundle is scored: " in result.stderr


def test_an_empty_file_may_become_the_scores(evaluate, tmp_path):
    (tmp_path / "scores.json").touch()
    assert evaluate("--model", "run", "--direction", "ab", "--json", tmp_path / "scores.json").exit_code == 0


def test_a_wrong_size_is_refused_before_the_classifier_is_trained(evaluate):
    result = evaluate("--model", "run", "--dataset", "photos", "--features", "classifier", "--size", "33")
    assert result.exit_code == 2 and "Training the classifier" not in result.output


def test_an_evaluation_that_is_stopped_leaves_no_images(evaluate, monkeypatch, tmp_path):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("cyclegan.evaluation.evaluate._scores", stop)
    options = ["--model", "run", "--dataset", "photos", "--images", tmp_path / "images"]
    assert evaluate(*options).exit_code != 0
    assert list((tmp_path / "images").iterdir()) == []


def test_two_folders_of_a_training_say_which_of_their_images_are_scored(evaluate):
    result = evaluate("--model", "run", "--domain-a", "photos/trainA", "--domain-b", "photos/trainB")
    assert "Scored are 1 of 6 images of A and 1 of 6 of B: those that a training with these folders" in result.stderr


def test_the_images_of_a_run_are_found_and_those_of_a_bundle_are_asked_for(evaluate, folder):
    assert evaluate("--model", "run", "--direction", "ab").exit_code == 0
    shutil.copytree(folder / "run" / "bundle" / "last", folder / "given" / "away" / "bundle")
    result = evaluate("--model", "given/away/bundle")
    assert result.exit_code == 2 and "Give its test images with --dataset DIR" in result.output


def test_the_classifier_is_trained_once_and_its_accuracy_is_shown(evaluate, monkeypatch):
    monkeypatch.setattr("cyclegan.evaluation.classifier.MAX_EPOCHS", 2)
    options = ["--model", "run", "--dataset", "photos", "--data-dir", "data", "--features", "classifier"]
    first, second = (evaluate(*options, "--direction", "ab") for _ in range(2))
    assert first.exit_code == second.exit_code == 0, first.output
    assert "KID-classifier" in first.stdout and "by classifier" in first.stdout
    assert "Training the classifier on 6 images of A and 6 of B." in first.stderr
    assert "Training the classifier" not in second.stderr
    assert first.stdout == second.stdout


def test_the_images_that_are_compared_can_be_scored_by_another_program(evaluate, tmp_path):
    images, first, second = (tmp_path / name for name in ("images", "first.json", "second.json"))
    options = ["--model", "run", "--dataset", "photos", "--direction", "ba"]
    result = evaluate(*options, "--images", images, "--json", first)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (images / "ba").iterdir()) == [
        "real_test",
        "real_training",
        "translated",
        "untranslated",
    ]
    assert len(list((images / "ba" / "translated").iterdir())) == 4
    evaluate("--images-only", images / "ba" / "real_test", images / "ba" / "translated", "--json", second)
    (one,), (other,) = (json.loads(path.read_text()) for path in (first, second))
    distance = other["distances"]["SWD"]["images"]["value"]
    assert distance == pytest.approx(one["distances"]["SWD"]["translated"]["value"], rel=0.01)
    again = evaluate(*options, "--images", images)
    assert again.exit_code == 2 and "`--images` must be a new or empty folder" in again.output


def test_two_folders_of_images_are_compared(evaluate):
    result = evaluate("--images-only", "photos/testB", "photos/testA")
    assert result.exit_code == 0, result.output
    assert "SWD" in result.stdout and "cycle" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give either `--model` or `--images-only REAL FAKE`."),
        (["--model", "run", "--images-only", "photos/testA", "photos/testB"], "Give either `--model` or"),
        (["--images-only", "photos/testA", "photos/testB", "--features", "classifier"], "needs `--model`"),
        (["--images-only", "photos/testA", "photos/testB", "--images", "x"], "`--images` is for `--model`"),
        (["--images-only", "photos/testA", "photos/testB", "--direction", "ab"], "`--direction` is for `--model`"),
        (["--images-only", "photos/testA", "photos/testB", "--dataset", "photos"], "`--dataset` is for `--model`"),
        (["--images-only", "small", "photos/testB"], "small/a.png has 5 x 40. Give another size with --size."),
        (
            ["--model", "run", "--dataset", "photos", "--size", "33"],
            "`--size` must be a multiple of 4, at least 32, for",
        ),
        (["--model", "run", "--dataset", "photos", "--json", "photos"], "in a folder that exists"),
        (["--model", "run", "--dataset", "photos", "--json", "mine.json"], "mine.json exists and is not a file of"),
        (["--model", "run", "--domain-a", "photos/testA"], "`--domain-a` and `--domain-b` must be given together"),
        (["--model", "nowhere", "--dataset", "photos"], "There is no model nowhere: it is neither a run nor a bundle"),
        (["--model", "run", "--dataset", "photos", "--features", "keras:Nothing"], "must be one of ConvNeXtBase"),
        (["--model", "run", "--dataset", "photos", "--json", "nowhere/scores.json"], "in a folder that exists"),
        (["--images-only", "photos/testA", "nowhere"], "must be two folders of images. Received: nowhere."),
        (["--images-only", "photos/testA", "empty"], "empty holds no images."),
        (
            ["--images-only", "photos/testA", "photos/testB", "--size", "8"],
            "`--size` must be at least 32. Received: 8.",
        ),
    ],
)
def test_wrong_requests_are_refused_in_one_line(evaluate, arguments, message):
    result = evaluate(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr and result.stderr.count("\n") == 1
