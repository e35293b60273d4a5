"""The same mathematics on every strategy, and runs that go from one to another: real processes."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from cyclegan.training.checkpoints import list_checkpoints

pytestmark = pytest.mark.slow

STRATEGIES = {"one device": ("cpu", 4), "two": ("cpu:2", 2), "four": ("cpu:4", 1), "two processes": (None, 2)}
"""The devices, and the images of a replica, so that all of them make steps of four images."""

OPTIONS = ["--config", "smoke", "--steps", "5", "--set", "training.pool_size=0", "--set", "training.log_every_steps=1"]


EPSILON = ["--set=optimizer.epsilon=0.01"]
"""With its usual epsilon, Adam makes a whole step of a gradient that is nothing but rounding, whatever its size: after
five steps of this tiny run, four replicas are 5e-4 away from one, and a compiled step 1e-3 from one that is not. A
large epsilon makes steps as large as the gradients, so that an error of the mathematics is seen and rounding is not.
"""


def run_training(folder, devices, *options):
    """Trains in one process, or in two if no devices are named."""
    environment = os.environ | {"CYCLEGAN_DATA_DIR": str(folder / "data"), "CYCLEGAN_XLA_CACHE": "off"}
    command = [sys.executable, "-m", "cyclegan", "train", *options]
    if devices:
        commands = [[*command, "--devices", devices]]
    else:
        servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        addresses = ",".join(f"127.0.0.1:{server.getsockname()[1]}" for server in servers)
        for server in servers:
            server.close()
        commands = [[*command, "--workers", addresses, "--worker-index", str(rank)] for rank in range(2)]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(each, cwd=folder, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        for each in commands
    ]
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert not any(process.returncode for process in processes), outputs
    return outputs[0]


def arrays_of(run):
    with np.load(list_checkpoints(run / "checkpoints")[-1][1]) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strategies")
    for precision in ("float64", "float32"):
        for name, (devices, batch) in STRATEGIES.items():
            keys = [f"--set=training.batch_size={batch}", f"--set=training.precision={precision}"]
            keys += EPSILON if precision == "float32" else []
            run_training(folder, devices, *OPTIONS, *keys, "--run-dir", f"{precision} {name}")
    return folder


@pytest.mark.parametrize("name", list(STRATEGIES)[1:])
def test_in_float64_every_variable_is_the_same_after_five_steps(folder, name):
    one, other = (arrays_of(folder / f"float64 {each}") for each in ("one device", name))
    shared = [key for key in one if not key.startswith("pool_")]
    assert len(shared) > 50 and int(one["samples"]) == 20
    for key in shared:
        np.testing.assert_allclose(other[key], one[key], rtol=0, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("name", list(STRATEGIES)[1:])
def test_in_float32_the_losses_are_the_same(folder, name):
    one, other = (
        json.loads((folder / f"float32 {each}" / "bundle" / "last" / "bundle.json").read_text())["provenance"][
            "metrics"
        ]
        for each in ("one device", name)
    )
    losses = [tag for tag in one if tag.startswith("loss/")]
    assert len(losses) == 8
    for tag in losses:
        assert other[tag] == pytest.approx(one[tag], rel=1e-5), tag


def test_a_run_of_two_replicas_goes_on_one_on_four_on_two_processes_and_back(folder):
    run, samples = "float64 two", 20
    for devices, replicas in (("cpu", 1), ("cpu:4", 4), (None, 2), ("cpu:2", 2)):
        steps = samples // 4 + 2  # the steps of the first session, of four images each
        output = run_training(folder, devices, "--run-dir", run, "--steps", str(steps))
        samples += 8
        arrays = arrays_of(folder / run)
        assert int(arrays["samples"]) == samples, output
        assert sum(key.startswith("pool_a/count/") for key in arrays) == replicas
