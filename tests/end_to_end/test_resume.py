"""A run that is stopped anywhere and continued ends in the same bits: real processes, real signals."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow

STEPS = 24


def command(folder: pathlib.Path, devices: str, *options: str) -> list[str]:
    settings = {
        "training.deterministic": "true",
        "training.pool_size": 4,
        "training.checkpoint_every_steps": 5,
        "training.log_every_steps": 1,
        "training.sample_every_steps": 100,
        "training.decay_epochs": 2,
        "training.steps": STEPS,
    }
    sets = [f"--set={key}={value}" for key, value in settings.items()]
    return [sys.executable, "-m", "cyclegan", "train", "--dataset", str(folder / "images"), "--config", "smoke",
            "--devices", devices, *sets, *options]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set of 8 and 6 images, so that the run sees several epochs of both, out of step."""
    from cyclegan.data.stripes import write_stripes

    folder = tmp_path_factory.mktemp("resume")
    write_stripes(folder / "images", num_train=8, num_test=2)
    for path in sorted((folder / "images" / "trainB").iterdir())[6:]:
        path.unlink()
    return folder


def finish(arguments: list[str]) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stop_at(arguments: list[str], step: int, number: int, *, once: pathlib.Path | None = None) -> subprocess.Popen:
    """Sends a signal as soon as the log shows a step, and a file is there; the log is the only clock."""
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seen = []
    for line in process.stdout:
        seen.append(line)
        if any(f"step {later}/" in line for later in range(step, STEPS)) and (once is None or once.exists()):
            process.send_signal(number)
            break
    else:
        pytest.fail("".join(seen))
    process.rest = process.stdout.read()
    process.wait(timeout=120)
    process.stdout.close()
    return process


def state_of(run: pathlib.Path) -> dict[str, np.ndarray]:
    """Every array of the newest checkpoint: weights, moments, pools, counter."""
    with np.load(max((run / "checkpoints").glob("step-*.npz"))) as arrays:
        return dict(arrays)


def assert_same_state(one: pathlib.Path, other: pathlib.Path) -> None:
    first, second = state_of(one), state_of(other)
    assert first.keys() == second.keys()
    assert {"step", "pool_a/images/0", "moment_0/generator_ab/first_conv/kernel"} <= first.keys()
    different = [key for key in first if not np.array_equal(first[key], second[key])]
    assert not different


# All that remembers, draws at random, or acts in some steps only.
BLOCKS = [
    "--set=generator.normalization=batch",
    "--set=generator.dropout=0.5",
    "--set=generator.downsampling=stochastic",
    "--set=discriminator.spectral_norm=true",
    "--set=losses.r1_weight=1",
    "--set=losses.r1_every_steps=3",
    "--set=losses.identity_every_steps=2",
    "--set=losses.identity_fading=true",
    "--set=optimizer.name=momentum",
    "--set=optimizer.schedule=cosine",
    "--set=training.ema_decay=0.9",
]


@pytest.mark.parametrize(
    ("devices", "jit"), [("cpu", "true"), ("cpu:2", "false")], ids=["blocks compiled", "blocks on cpu:2"]
)
def test_killed_and_interrupted_runs_end_in_the_bits_of_the_uninterrupted_run(folder, devices, jit):
    name = f"{devices.replace(':', '')}-{jit}"
    options = [f"--set=training.jit_compile={jit}", *BLOCKS]
    whole, broken = folder / f"whole-{name}", folder / f"broken-{name}"
    finish(command(folder, devices, "--run-dir", str(whole), *options, "--set=training.steps_per_call=5"))

    arguments = command(folder, devices, "--run-dir", str(broken), *options, "--set=training.steps_per_call=1")
    first = broken / "checkpoints" / "step-00000005.npz"  # written beside the training
    killed = stop_at(arguments, 7, signal.SIGKILL, once=first)
    assert killed.returncode == -signal.SIGKILL

    again = [sys.executable, "-m", "cyclegan", "train", "--run-dir", str(broken)]
    interrupted = stop_at(again, 9, signal.SIGINT)  # or later, if there was a later checkpoint
    assert interrupted.returncode == 130
    assert f"cyclegan train --run-dir {broken}" in interrupted.rest

    output = finish(again)
    assert f"step {STEPS}/{STEPS}" in output
    assert_same_state(whole, broken)
    for weights in json.loads((whole / "bundle/last/bundle.json").read_text())["weights"].values():
        path = f"bundle/last/{weights['file']}"
        assert (broken / path).read_bytes() == (whole / path).read_bytes()


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(folder):
    run = folder / "damaged"
    finish(command(folder, "cpu", "--run-dir", str(run), "--steps", "12"))
    before = state_of(run)
    newest = max((run / "checkpoints").glob("step-*.npz"))
    with newest.open("r+b") as file:
        file.seek(os.path.getsize(newest) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))
    output = finish([sys.executable, "-m", "cyclegan", "train", "--run-dir", str(run)])
    assert f"{newest} is set aside as {newest.name}.damaged, because it is damaged" in output
    after = state_of(run)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)
