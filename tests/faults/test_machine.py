"""A machine that has too little memory, too small a disk for compiled code, or another processor."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from cyclegan.training.checkpoints import list_checkpoints

pytestmark = pytest.mark.slow

START = ["--config", "smoke", "--set", "training.log_every_steps=1", "--set", "training.deterministic=true"]


def newest(run):
    with np.load(list_checkpoints(run / "checkpoints")[-1][1]) as arrays:
        return dict(arrays)


# The process may have 400 MB more than it has when TensorFlow is there. The step needs more than 1 GB.
SHORT_OF_MEMORY = """
import re, resource, sys
import tensorflow
size = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1])
resource.setrlimit(resource.RLIMIT_AS, (size + 400_000_000,) * 2)
from cyclegan.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of Linux")
def test_a_session_that_runs_out_of_memory_leaves_what_was_saved(train, tmp_path):
    large = ["--set", "data.load_size=256", "--set", "data.crop_size=256", "--set", "generator.filters=32"]
    output = train(*START, *large, "--steps", "1", "--run-dir", "run").communicate(timeout=200)[0]
    assert "Done: run, step 1." in output
    before = newest(tmp_path / "run")
    short = train("--run-dir", "run", "--steps", "3", program=[sys.executable, "-c", SHORT_OF_MEMORY])
    short.communicate(timeout=200)
    assert short.returncode  # by a line, or by a signal where a library does not look whether it got its memory
    after = newest(tmp_path / "run")
    assert all(np.array_equal(after[name], before[name]) for name in before)
    assert "Done: run, step 3." in train("--run-dir", "run", "--steps", "3").communicate(timeout=200)[0]


def test_a_run_continues_on_a_processor_with_other_instructions(train, tmp_path):
    assert "Done" in train(*START, "--steps", "20", "--run-dir", "one").communicate(timeout=200)[0]
    assert "Done" in train(*START, "--steps", "20", "--run-dir", "calm").communicate(timeout=200)[0]
    output = train("--run-dir", "one", "--steps", "30", ONEDNN_MAX_CPU_ISA="SSE41").communicate(timeout=200)[0]
    assert "Done: one, step 30." in output
    assert "Done" in train("--run-dir", "calm", "--steps", "30").communicate(timeout=200)[0]
    one, calm = newest(tmp_path / "one"), newest(tmp_path / "calm")
    assert any(not np.array_equal(one[name], calm[name]) for name in calm)  # otherwise nothing was tried
    for name in calm:
        if name.startswith("generator_"):
            np.testing.assert_allclose(one[name], calm[name], atol=1e-3, err_msg=name)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 300 kB."""
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k,mode=700", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs to mount a file system")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


COMPILED = ["--set", "training.jit_compile=true", "--steps", "3", "--run-dir", "run"]


@pytest.mark.skipif(not shutil.which("mount"), reason="needs to mount a file system")
def test_a_nearly_full_disk_turns_the_cache_of_compiled_code_off(train, small_disk):
    process = train(*START, *COMPILED, CYCLEGAN_XLA_CACHE="on", XDG_CACHE_HOME=str(small_disk))
    output = process.communicate(timeout=200)[0]
    assert "Done: run, step 3." in output
    assert re.search(r"The cache of compiled code is off: .*/disk/cyclegan/xla/.* has only \d+.* kB left\.", output)


def test_a_disk_that_fills_up_while_compiling_is_named_before_the_first_step(train, tmp_path):
    train(*START, "--steps", "1", "--run-dir", "draws-the-images").communicate(timeout=200)
    limited = ["sh", "-c", 'ulimit -f 150; exec "$@"', "sh"]  # in blocks of 512 bytes; the code has a megabyte
    program = [*limited, sys.executable, "-m", "cyclegan"]
    (tmp_path / "cache").mkdir(mode=0o700)
    variables = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "CYCLEGAN_XLA_CACHE": "on", "TF_XLA_FLAGS": ""}
    done = train(*START, *COMPILED, program=program, **variables)
    error = done.communicate(timeout=200)[0].splitlines()[-1]
    assert done.returncode == 1
    assert error.startswith("Error: XLA cannot compile the training step: the cache of compiled code cannot be written")
    assert "File too large" in error and "CYCLEGAN_XLA_CACHE=off" in error
