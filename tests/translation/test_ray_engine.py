import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.mark.slow
def test_ray_does_the_same_work(bundle, photos, tmp_path, images):
    pytest.importorskip("ray", reason="needs the extra `ray`")
    for number in range(6):
        images.save(photos / f"{number}.png", images.noise(16, 16 + 4 * number))
    images.save(photos / "scaled.png", images.noise(136, 140))
    (photos / "broken.png").write_text("not an image")
    command = [sys.executable, "-m", "cyclegan", "translate", photos]
    options = ["--model", bundle.folder, "--direction", "ab", "--cycle", "--engine"]
    codes = [
        subprocess.run([*command, tmp_path / engine, *options, engine], timeout=300).returncode
        for engine in ("local", "ray")
    ]
    assert codes == [1, 1]
    local, ray = (json.loads((tmp_path / engine / "report.json").read_text()) for engine in ("local", "ray"))
    for key in ("translated", "failed", "notes"):
        assert local[key] and local[key] == ray[key]
    for name in images.files_in(tmp_path / "local"):
        by_local, by_ray = (images.levels(tmp_path / engine / name) for engine in ("local", "ray"))
        np.testing.assert_allclose(by_local, by_ray, atol=1)


def _command(bundle, photos: Path, output: Path, *options: str) -> list[object]:
    command = [sys.executable, "-m", "cyclegan", "translate", photos, output, "--model", bundle.folder]
    return [*command, "--direction", "ab", "--engine", "ray", *options]


@pytest.mark.slow
def test_strict_stops_on_ray_too_and_reports_what_was_done(bundle, photos, tmp_path, images):
    pytest.importorskip("ray", reason="needs the extra `ray`")
    for number in range(200):
        images.save(photos / f"{number:03}.png", images.noise(16, 16))
    (photos / "010.png").write_bytes(b"")
    out = tmp_path / "out"
    done = subprocess.run(_command(bundle, photos, out, "--strict"), capture_output=True, text=True, timeout=300)
    report = json.loads((out / "report.json").read_text())
    num_kept = len(images.files_in(out))
    assert done.returncode == 1
    assert done.stderr.endswith(f"Error: 010.png: the file is empty. Translated and kept: {num_kept}.\n")
    assert report["failed"] == [{"path": "010.png", "reason": "the file is empty"}]
    assert report["translated"] == images.files_in(out) and num_kept < 199


@pytest.mark.slow
@pytest.mark.parametrize(
    ("send", "number", "line", "code"),
    [(os.killpg, signal.SIGINT, "Interrupted.\n", 130), (os.kill, signal.SIGTERM, "Terminated.\n", 143)],
    ids=["ctrl-c", "sigterm"],
)
def test_ctrl_c_and_sigterm_keep_and_report_what_ray_has_done(
    bundle, photos, tmp_path, images, send, number, line, code
):
    """A terminal sends Ctrl-C to the whole process group; `kill` sends SIGTERM to one process."""
    pytest.importorskip("ray", reason="needs the extra `ray`")
    images.save(photos / "000.png", images.noise(128, 128))
    for copy in range(1, 400):
        (photos / f"{copy:03}.png").hardlink_to(photos / "000.png")
    out = tmp_path / "out"
    # Shells start background jobs with SIGINT ignored, and their children inherit that.
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = _command(bundle, photos, out)
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=listen, start_new_session=True
    ) as process:
        assert process.stderr
        while (said := process.stderr.readline()) and not said.startswith("40/400 images"):
            pass
        send(process.pid, number)
        assert process.stderr.read().endswith(line)
    report = json.loads((out / "report.json").read_text())
    assert process.returncode == code
    assert report["translated"] == images.files_in(out) and 40 <= len(report["translated"]) < 400
