"""Two processes that describe a training together. tests/faults/test_workers.py has those that train."""

import os
import socket
import subprocess
import sys

import pytest


@pytest.fixture
def describe(tmp_path):
    """Starts two workers with `--dry-run`, and returns their exit codes and outputs."""

    def run(*arguments):
        listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        addresses = ",".join(f"127.0.0.1:{one.getsockname()[1]}" for one in listening)
        for one in listening:
            one.close()
        command = [sys.executable, "-m", "cyclegan", "train", "--config", "smoke", "--dry-run", *arguments]
        workers = [
            subprocess.Popen(
                [*command, "--workers", addresses, "--worker-index", str(rank)],
                cwd=tmp_path,
                env=os.environ | {"CYCLEGAN_DATA_DIR": str(tmp_path / "data"), "CYCLEGAN_XLA_CACHE": "off"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in (0, 1)
        ]
        try:
            outputs = [worker.communicate(timeout=200)[0] for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
        return [worker.returncode for worker in workers], outputs

    return run


def test_two_workers_describe_a_training_and_the_chief_says_it(describe, tmp_path):
    codes, (chief, other) = describe("--set", "training.batch_size=3")
    assert codes == [0, 0], chief + other
    assert "# 6 images of each domain a step, on 2 replicas" in chief
    assert "Devices: 2 replicas on 2 workers, here /cpu:0; ring all-reduce." in other
    assert "batch_size" not in other and not (tmp_path / "runs").exists()


def test_what_is_wrong_for_the_chief_is_told_by_all(describe):
    codes, (chief, other) = describe("--set", "losses.cycle_weight=1")
    assert codes == [2, 1]
    assert "Error: unknown key `losses.cycle_weight`; did you mean" in chief
    assert "has failed: unknown key `losses.cycle_weight`" in other
