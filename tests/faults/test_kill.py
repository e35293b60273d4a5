"""A run that is killed again and again ends in the bits of the run that nobody disturbed."""

import os
import random
import shutil
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


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t moved(void) { return access(getenv("SET_BACK"), F_OK) ? 0 : -400L * 24 * 3600; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += moved();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int failed = real(now, zone);
    now->tv_sec += moved();
    return failed;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}
"""
"""A library whose clock is 400 days behind as soon as a file is there."""


def start(folder, run, **variables):
    sets = [f"--set={key}={value}" for key, value in OPTIONS.items()]
    return subprocess.Popen(
        [sys.executable, "-m", "cyclegan", "train", "--config", "smoke", "--run-dir", run, *sets],
        cwd=folder,
        env=os.environ | {"CYCLEGAN_DATA_DIR": str(folder / "data"), "CYCLEGAN_XLA_CACHE": "off"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def newest(folder):
    step, path = list_checkpoints(folder / "checkpoints")[-1]
    with np.load(path) as arrays:
        return step, dict(arrays)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run that nobody disturbs, in `whole`."""
    folder = tmp_path_factory.mktemp("kills")
    output = start(folder, "whole").communicate(timeout=300)[0]
    assert f"Done: whole, step {STEPS}." in output
    return folder


def kill_at(process, moment):
    """Kills a run at a step, or at a later one if that is already saved: the lines are the clock."""
    reached = any(f"step {later}/" in line for line in process.stdout for later in range(moment, STEPS))
    process.send_signal(signal.SIGKILL)
    assert reached and "damaged" not in process.stdout.read()


def assert_ends_as_the_whole_one(folder, run, **variables):
    assert f"Done: {run}, step {STEPS}." in start(folder, run, **variables).communicate(timeout=300)[0]
    (step, expected), (same_step, received) = newest(folder / "whole"), newest(folder / run)
    assert step == same_step == STEPS and expected.keys() == received.keys()
    assert not [name for name in expected if expected[name].tobytes() != received[name].tobytes()]


def test_a_run_that_is_killed_at_random_moments_loses_no_bit(folder):
    moments = sorted(random.Random(KILLS).sample(range(2, STEPS - 20), KILLS))
    for moment in moments:
        with start(folder, "broken") as process:
            kill_at(process, moment)
    assert_ends_as_the_whole_one(folder, "broken")


def test_a_clock_that_is_set_back_costs_no_bit(folder):
    if not shutil.which("gcc"):
        pytest.skip("needs gcc, for a clock that can be set back")
    library, trigger = folder / "clock.so", folder / "set-back"
    command = ["gcc", "-shared", "-fPIC", "-o", library, "-x", "c", "-", "-ldl"]
    subprocess.run(command, input=CLOCK, text=True, check=True)
    clock = {"LD_PRELOAD": str(library), "SET_BACK": str(trigger)}
    with start(folder, "set_back", **clock) as process:
        next(line for line in process.stdout if "step 20/" in line)
        trigger.touch()
        kill_at(process, 100)
    assert_ends_as_the_whole_one(folder, "set_back", **clock)
    log = (folder / "set_back" / "log.txt").read_text().splitlines()
    assert log[-1] < log[0]  # each line begins with its time
