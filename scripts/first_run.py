"""Trains on the built-in data set, translates its test images, scores them: what `make train` does."""

import dataclasses
import json
import pathlib
import subprocess
import sys

from PIL import Image

import cyclegan
from cyclegan.data.sources import default_data_dir
from cyclegan.data.stripes import ensure_stripes
from cyclegan.evaluation.stripes import comparison_picture, format_table, score_stripes
from cyclegan.runtime.startup import import_tensorflow
from cyclegan.training.run_directory import next_run_directory

run = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else next_run_directory(pathlib.Path("runs"), "stripes")
data = ensure_stripes(default_data_dir())


def run_command(*arguments: object) -> None:
    """Runs the program as a user would; ends as it ends."""
    print("$ cyclegan", *arguments, flush=True)
    if code := subprocess.run([sys.executable, "-m", "cyclegan", *map(str, arguments)]).returncode:
        sys.exit(code)


run_command("train", "--dataset", "stripes", "--run-dir", run)
run_command("translate", data / "testA", run / "translated", "--model", run, "--direction", "ab", "--overwrite")

import_tensorflow()
generator = cyclegan.load_generator(run, "ab")
scores = score_stripes(lambda images: generator(images).numpy(), data)
(run / "score.json").write_text(json.dumps([dataclasses.asdict(score) for score in scores], indent=2) + "\n")
Image.fromarray(comparison_picture(lambda images: generator(images).numpy(), data)).save(run / "comparison.png")
print(format_table(scores))
print(f"Input, translation and truth: {run}/comparison.png. All translations: {run}/translated/.")
print(f"Losses and samples: {pathlib.Path(sys.executable).parent}/tensorboard --logdir {run.parent}")
