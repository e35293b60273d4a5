"""The README's first command: train, translate, score; and it learns."""

import json
import pathlib
import subprocess
import sys

import pytest
from PIL import Image

CHECKOUT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_built_in_data_set_is_learnt_and_copying_the_input_would_not_pass(tmp_path):
    run = tmp_path / "stripes-1"
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "scripts" / "first_run.py"), str(run)],
        capture_output=True,
        text=True,
        timeout=1750,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    scores = {score["name"]: score for score in json.loads((run / "score.json").read_text())}
    assert scores["model"]["ratio"] >= 0.5
    assert scores["model"]["change_outside"] <= 0.1
    assert scores["copy the input"]["ratio"] < 0.5
    assert scores["real domain B"]["ratio"] == 1
    assert f"| model | {scores['model']['contrast']:.3f}" in done.stdout

    assert len(list((run / "translated").glob("*.png"))) == 120
    with Image.open(run / "comparison.png") as picture:
        assert picture.size[0] > picture.size[1]
    assert "tensorboard --logdir" in done.stdout
