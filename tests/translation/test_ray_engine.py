import json
import subprocess
import sys

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
