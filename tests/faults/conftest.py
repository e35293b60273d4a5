import os
import subprocess
import sys
from collections.abc import Sequence

import pytest


@pytest.fixture
def train(tmp_path):
    """Starts a training in a process of its own."""
    environment = os.environ | {"CYCLEGAN_DATA_DIR": str(tmp_path / "data"), "CYCLEGAN_XLA_CACHE": "off"}
    command, started = [sys.executable, "-m", "cyclegan"], []

    def start(*arguments: str, program: Sequence[str] = command, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*program, "train", *arguments],
            cwd=tmp_path,
            env=environment | {"PYTHONUNBUFFERED": "1"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
