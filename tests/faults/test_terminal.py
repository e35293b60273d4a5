import os
import pty
import select
import signal
import subprocess
import sys

import pytest

from cyclegan.training.checkpoints import list_checkpoints


@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_a_run_that_is_saved_without_a_traceback(tmp_path):
    ours, theirs = pty.openpty()
    arguments = ["--config", "smoke", "--dataset", "stripes", "--steps", "100000", "--run-dir", "run"]
    environment = os.environ | {"CYCLEGAN_DATA_DIR": str(tmp_path / "data"), "CYCLEGAN_XLA_CACHE": "off"}
    with subprocess.Popen(
        [sys.executable, "-m", "cyclegan", "train", *arguments],
        cwd=tmp_path,
        env=environment,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"adversarial" not in shown:  # the bar has moved
            assert select.select([ours], [], [], 120)[0]
            shown += os.read(ours, 4096)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 130
    assert len(list_checkpoints(tmp_path / "run" / "checkpoints")) == 1
    assert "Stopped at step " in (tmp_path / "run" / "log.txt").read_text().splitlines()[-1]
