import os
import subprocess
import sys

import pytest


@pytest.fixture
def train(tmp_path):
    """Starts a training in a process of its own."""
    environment = os.environ | {"CYCLEGAN_DATA_DIR": str(tmp_path / "data"), "CYCLEGAN_XLA_CACHE": "off"}

    def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "cyclegan", "train", *arguments],
            cwd=tmp_path,
            env=environment | {"PYTHONUNBUFFERED": "1"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start
