"""A run that is scored while it trains: killed and continued, on one process and on two."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from cyclegan.bundles.bundle import load_bundle
from cyclegan.cli.main import main

pytestmark = pytest.mark.slow

STEPS = 24
KEYS = {
    "data.validation_fraction": 0.25,
    "evaluation.every_steps": 4,
    "evaluation.features": "null",
    "evaluation.metric": "swd",
    "optimizer.schedule": "plateau",
    "optimizer.plateau_patience": 1,
    "training.deterministic": "true",
    "training.log_every_steps": 1,
    "training.checkpoint_every_steps": 3,
    "training.steps": STEPS,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from cyclegan.data.stripes import write_stripes

    folder = tmp_path_factory.mktemp("scoring")
    write_stripes(folder / "images", num_train=16, num_test=4)
    return folder


INTERRUPTED = """
import os, runpy, signal
from cyclegan.evaluation.validation import Validator

number, scores = 0, Validator.scores

def interrupted(self, *arguments):
    global number
    number += 1
    if number == 3:
        os.kill(os.getpid(), signal.SIGTERM)
    return scores(self, *arguments)

Validator.scores = interrupted
runpy.run_module("cyclegan", run_name="__main__")
"""
"""A program whose third evaluation, of step 12, receives a signal."""


def start(folder, run, *options, program=("-m", "cyclegan")):
    arguments = ["--dataset", "images", "--config", "smoke", "--run-dir", run]
    arguments += [*(f"--set={key}={value}" for key, value in KEYS.items()), *options]
    return subprocess.Popen(
        [sys.executable, *program, "train", *arguments],
        cwd=folder,
        env=os.environ | {"CYCLEGAN_XLA_CACHE": "off", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_two(folder, run, *options):
    """Two processes that train together."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = ",".join(f"127.0.0.1:{server.getsockname()[1]}" for server in servers)
    for server in servers:
        server.close()
    return [start(folder, run, *options, "--workers", addresses, "--worker-index", str(rank)) for rank in range(2)]


def finish(process, returncode=0):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == returncode, output
    return output


def results_of(run):
    """Everything that must not depend on interruptions: the checkpoint, the scores, and the best bundle."""
    with np.load(max((run / "checkpoints").glob("step-*.npz"))) as arrays:
        state = {name: array.tobytes() for name, array in arrays.items()}
    best = load_bundle(run, "best").info
    return state, (run / "metrics.jsonl").read_text(), best.provenance.step, best.weights


@pytest.fixture(scope="module")
def whole(folder):
    output = finish(start(folder, "whole"))
    assert "The learning rate is" in output  # or the test would not see whether plateaus are remembered
    return output, results_of(folder / "whole")


def test_each_score_is_written_and_the_smallest_is_the_best(folder, whole):
    output, (_, lines, best, _) = whole
    scores = {entry["step"]: entry["swd"] for entry in map(json.loads, lines.splitlines()) if "swd" in entry}
    assert list(scores) == [4, 8, 12, 16, 20, 24]
    assert scores[best] == min(scores.values())
    assert output.count(" on the validation images") == 6
    assert "12 A and 12 B to train, 4 A and 4 B to validate" in output


@pytest.mark.parametrize("step", [8, 11])
def test_a_run_that_is_killed_scores_and_decides_the_same(folder, whole, step):
    """Step 8 is scored and not saved, so that its score comes again."""
    process = start(folder, f"killed-{step}")
    for line in process.stdout:
        if f"step {step}/" in line:
            process.send_signal(signal.SIGKILL)
    process.communicate()
    finish(start(folder, f"killed-{step}"))
    assert results_of(folder / f"killed-{step}") == whole[1]


def test_a_signal_while_a_run_is_scored_costs_no_score(folder, whole):
    output = finish(start(folder, "interrupted", program=("-c", INTERRUPTED)), returncode=75)
    assert "Step 8 scores" in output and "Step 12 scores" not in output
    assert "Step 12 scores" in finish(start(folder, "interrupted"))
    assert results_of(folder / "interrupted") == whole[1]


def test_two_processes_score_and_decide_as_two_replicas_of_one(folder):
    for worker in start_two(folder, "two"):
        finish(worker)
    finish(start(folder, "replicas", "--devices", "cpu:2"))
    assert results_of(folder / "two") == results_of(folder / "replicas")


def test_the_test_images_judge_both_bundles_of_a_run(folder, whole):
    run = str(folder / "whole")
    result = CliRunner().invoke(
        main, ["evaluate", "--model", run, "--dataset", str(folder / "images"), "--direction", "ab"]
    )
    assert result.exit_code == 0, result.output
    assert f"{run}/bundle/best, step {whole[1][2]}, ab" in result.output
    assert f"{run}/bundle/last, step {STEPS}, ab" in result.output


def test_a_run_ends_early_when_its_scores_do_not_gain(folder):
    """With a rate of nearly 0 no step changes a score."""
    output = finish(start(folder, "early", "--set", "evaluation.patience=2", "--set", "optimizer.learning_rate=1e-30"))
    assert "The last 2 evaluations were not better than the best one before, so the run ends here" in output
    assert "Done: early, step 12." in output
    again = finish(start(folder, "early", "--set", "evaluation.patience=2", "--set", "optimizer.learning_rate=1e-30"))
    assert "so the run ends here" in again and "Done: early, step 12." in again


@pytest.mark.parametrize("num_processes", [1, 2])
def test_an_ill_run_goes_back_to_a_healthy_checkpoint_and_ends_after_three_times(folder, num_processes):
    """A rate of 0.05 spoils the networks each time."""
    run = f"ill-{num_processes}"

    def train(*options, returncode=0):
        processes = start_two(folder, run, *options) if num_processes == 2 else [start(folder, run, *options)]
        return [finish(process, returncode) for process in processes][0]

    keys = {
        "training.steps": 200,
        "training.checkpoint_every_steps": 20,
        "training.keep_checkpoints": 2,  # the healthy one is kept beyond that
        "training.log_every_steps": 100,
        "health.every_steps": 20,
        "health.action": "rollback",
        "evaluation.every_steps": 500,
    }
    options = [f"--set={key}={value}" for key, value in keys.items()]
    assert "To try:" not in train(*options)
    options += ["--set=training.steps=1000", "--set=optimizer.learning_rate=0.05"]
    output = train(*options, returncode=1)
    for number in (1, 2, 3):
        assert f"This is rollback {number} of at most 3." in output
    assert (
        "Error: The run is ill, and has gone back 3 times before, so it ends here. To train on nevertheless" in output
    )
    assert json.loads((folder / run / "run.json").read_text())["rollbacks"] == 3
    assert list((folder / run / "checkpoints").glob("*.ill-2"))


def test_a_run_that_is_killed_before_its_last_score_gets_it_later(folder, whole):
    shutil.copytree(folder / "whole", folder / "unscored")
    lines = (folder / "unscored" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "unscored" / "metrics.jsonl").write_text("".join(lines[:-1]))
    output = finish(start(folder, "unscored"))
    assert f"All {STEPS} steps are done" in output and f"Step {STEPS} scores swd" in output
    assert (folder / "unscored" / "metrics.jsonl").read_text() == "".join(lines)
