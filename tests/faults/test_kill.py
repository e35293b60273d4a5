"""A run that is killed again and again ends in the bits of the run that nobody disturbed."""

import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest

from cyclegan.training.checkpoints import list_checkpoints

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CYCLEGAN_KILLS", "5"))
"""How often a run is killed. docs/reliability.md says how often it was tried."""

STEPS = 400
OPTIONS = {
    "training.deterministic": "true",
    "training.checkpoint_every_steps": 3,  # so that most kills meet a checkpoint that is being written
    "training.log_every_steps": 1,
    "training.sample_every_steps": 50,
    "training.steps": STEPS,
}


def start(folder, run):
    sets = [f"--set={key}={value}" for key, value in OPTIONS.items()]
    return subprocess.Popen(
        [sys.executable, "-m", "cyclegan", "train", "--config", "smoke", "--run-dir", run, *sets],
        cwd=folder,
        env=os.environ | {"CYCLEGAN_DATA_DIR": str(folder / "data"), "CYCLEGAN_XLA_CACHE": "off"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def newest(folder):
    step, path = list_checkpoints(folder / "checkpoints")[-1]
    with np.load(path) as arrays:
        return step, dict(arrays)


def test_a_run_that_is_killed_at_random_moments_loses_no_bit(tmp_path):
    whole = start(tmp_path, "whole").communicate(timeout=300)[0]
    assert f"Done: whole, step {STEPS}." in whole
    moments = sorted(random.Random(KILLS).sample(range(2, STEPS - 20), KILLS))
    for moment in moments:
        with start(tmp_path, "broken") as process:
            # A later one, if that is already saved: the lines are the clock.
            reached = any(f"step {later}/" in line for line in process.stdout for later in range(moment, STEPS))
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read()
        assert reached and "damaged" not in rest
    assert f"Done: broken, step {STEPS}." in start(tmp_path, "broken").communicate(timeout=300)[0]
    (step, expected), (same_step, received) = newest(tmp_path / "whole"), newest(tmp_path / "broken")
    assert step == same_step == STEPS and expected.keys() == received.keys()
    assert not [name for name in expected if expected[name].tobytes() != received[name].tobytes()]
