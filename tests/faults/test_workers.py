"""Several processes that train together on one machine, and what happens when one of them is ill or gone."""

import os
import pathlib
import random
import signal
import socket
import subprocess
import sys

import numpy as np
import psutil
import pytest

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CYCLEGAN_KILLS", "4"))
"""How often one of two workers is killed. docs/reliability.md says how often it was tried."""

KILLED_STEPS = 250

SETTINGS = ["--set", "training.log_every_steps=1", "--set", "training.checkpoint_every_steps=10"]
START = ["--config", "smoke", "--dataset", "stripes", "--set", "training.deterministic=true", *SETTINGS]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    data = str(tmp_path_factory.mktemp("data"))
    return os.environ | {"CYCLEGAN_DATA_DIR": data, "CYCLEGAN_XLA_CACHE": "off", "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def train(tmp_path, environment):
    """Runs one process, and returns its exit code and its output."""

    def run(*arguments: object) -> tuple[int, str]:
        command = [sys.executable, "-m", "cyclegan", "train", *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def start(tmp_path, environment):
    """Starts workers, and kills those that are left in the end."""
    started = []

    def run(*arguments: object, ranks: tuple[int, ...] = (0, 1)) -> list[subprocess.Popen[str]]:
        addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
        for rank in ranks:
            command = [sys.executable, "-m", "cyclegan", "train", *map(str, arguments)]
            command += ["--workers", addresses, "--worker-index", str(rank)]
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                command, cwd=tmp_path, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
            )
            started.append(process)
        return started[-len(ranks) :]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def free_ports(count: int) -> list[int]:
    with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in with_ports]
    for one in with_ports:
        one.close()
    return ports


def finish(workers, seconds=200):
    """The exit codes and the outputs of workers that end by themselves."""
    outputs = [worker.communicate(timeout=seconds)[0] for worker in workers]
    return [worker.returncode for worker in workers], outputs


def wait_for(worker, *texts):
    """Reads the output of a worker up to a line with one of these texts."""
    read = []
    for line in worker.stdout:
        read.append(line)
        if any(text in line for text in texts):
            return
    raise AssertionError("".join(read))


def newest(run: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(max((run / "checkpoints").glob("step-*.npz"))) as arrays:
        return dict(arrays)


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_two_processes_end_in_the_bits_of_two_replicas_in_one(train, start, tmp_path):
    assert train(*START, "--steps", 12, "--run-dir", "one", "--devices", "cpu:2")[0] == 0
    codes, outputs = finish(start(*START, "--steps", 12, "--run-dir", "two"))
    assert codes == [0, 0], outputs
    assert "2 replicas on 2 workers" in outputs[1]
    assert_equal(newest(tmp_path / "two"), newest(tmp_path / "one"))


def test_a_run_continues_on_two_processes_and_on_one(train, start, tmp_path):
    assert train(*START, "--steps", 4, "--run-dir", "run")[0] == 0
    codes, outputs = finish(start("--run-dir", "run", "--steps", 10))
    assert codes == [0, 0], outputs
    assert "The number of replicas was 1 and is 2 now." in outputs[0]
    code, output = train("--run-dir", "run", "--steps", 12)
    assert code == 0 and "Surplus image pools are dropped." in output
    arrays = newest(tmp_path / "run")
    assert (int(arrays["samples"]), int(arrays["step"])) == (12, 4 + 3 + 2)


@pytest.mark.parametrize("rank", [0, 1])
def test_sigterm_to_one_worker_stops_all_at_the_same_step(start, tmp_path, rank):
    workers = start(*START, "--steps", 100_000, "--run-dir", "run")
    wait_for(workers[0], "step 5/")
    workers[rank].send_signal(signal.SIGTERM)
    codes, outputs = finish(workers)
    assert codes == [75, 75], outputs
    step = int(newest(tmp_path / "run")["step"])
    for output in outputs:
        assert f"Stopped at step {step}. Continue with: cyclegan train --run-dir run" in output


def test_workers_that_are_killed_at_random_moments_lose_no_bit(start, tmp_path):
    options = [*START, "--steps", KILLED_STEPS, "--set", "training.checkpoint_every_steps=3"]
    codes, outputs = finish(start(*options, "--run-dir", "calm"))
    assert codes == [0, 0], outputs
    draw = random.Random(KILLS)
    for number, moment in enumerate(sorted(draw.sample(range(2, KILLED_STEPS - 20), KILLS))):
        workers, rank = start(*options, "--run-dir", "run"), number % 2
        wait_for(workers[0], *(f"step {later}/" for later in range(moment, KILLED_STEPS)))
        workers[rank].kill()
        codes, outputs = finish(workers, 60)
        assert codes[1 - rank] == 1 and "damaged" not in outputs[0]
        last = outputs[1 - rank].splitlines()[-1]
        assert last.startswith("Error: ") and "has ended or does not answer. Start all workers again" in last
    codes, outputs = finish(start("--run-dir", "run"))
    assert codes == [0, 0], outputs
    assert_equal(newest(tmp_path / "run"), newest(tmp_path / "calm"))


def test_a_worker_that_stands_still_ends_the_others(start):
    workers = start(*START, "--steps", 100_000, "--run-dir", "run")
    wait_for(workers[0], "step 5/")
    workers[1].send_signal(signal.SIGSTOP)
    codes, outputs = finish(workers[:1], 60)
    assert codes == [1] and "has ended or does not answer" in outputs[0]


def test_a_worker_that_is_missing_is_named(start):
    codes, outputs = finish(start(*START, "--run-dir", "run", "--start-seconds", 3, ranks=(0,)))
    assert codes == [1]
    assert "Not all workers were there after 3 s. Cannot be reached: worker 1 (127.0.0.1:" in outputs[0]


def test_what_the_chief_refuses_is_told_by_all(start, tmp_path):
    (tmp_path / "run").write_text("a file")
    codes, outputs = finish(start(*START, "--run-dir", "run"))
    assert codes == [2, 1]
    assert "Error: `--run-dir` must be a directory." in outputs[0]
    assert "has failed: `--run-dir` must be a directory." in outputs[1]


def test_the_script_starts_workers_on_one_machine(tmp_path, environment):
    script = pathlib.Path(__file__).parents[2] / "scripts" / "train_workers.sh"
    port = free_ports(1)[0]
    command = ["sh", str(script), "2", *START, "--steps", "4", "--run-dir", "run"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment | {"PYTHON": sys.executable, "PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0 and "Done: run, step 4." in done.stdout, done.stdout + done.stderr
    assert "Done: run, step 4." in (tmp_path / "worker-1.log").read_text()


def test_a_signal_to_the_script_alone_stops_all_workers(tmp_path, environment):
    script = pathlib.Path(__file__).parents[2] / "scripts" / "train_workers.sh"
    with subprocess.Popen(
        ["sh", str(script), "2", *START, "--steps", "100000", "--run-dir", "run"],
        cwd=tmp_path,
        env=environment | {"PYTHON": sys.executable, "PORT": str(free_ports(1)[0])},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(process, "step 5/")
        process.terminate()
        output = process.communicate(timeout=100)[0]
    assert process.returncode == 75 and "Stopped at step" in output
    assert "Stopped at step" in (tmp_path / "worker-1.log").read_text()


@pytest.mark.parametrize("number", ["0", "two", "--config"])
def test_the_script_says_how_it_is_used(number):
    script = pathlib.Path(__file__).parents[2] / "scripts" / "train_workers.sh"
    done = subprocess.run(["sh", str(script), number, "smoke"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "train_workers.sh NUMBER" in done.stderr


def test_the_restart_loop_goes_on_until_the_run_is_done(tmp_path, environment):
    script = pathlib.Path(__file__).parents[2] / "scripts" / "train_until_done.sh"
    steps = "300"
    with subprocess.Popen(
        ["sh", str(script), "run", *START, "--steps", steps],
        cwd=tmp_path,
        env=environment | {"PYTHON": sys.executable, "PAUSE": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as loop:
        wait_for(loop, "step 15/")
        (training,) = psutil.Process(loop.pid).children()
        training.kill()
        output = loop.communicate(timeout=200)[0]
    assert loop.returncode == 0
    assert "The training ended with code 137, and is started again." in output
    assert f"Done: run, step {steps}." in output


def test_the_restart_loop_gives_up_after_three_starts_that_saved_nothing(tmp_path, environment):
    (tmp_path / "photos" / "trainA").mkdir(parents=True)
    (tmp_path / "photos" / "trainB").mkdir()
    for name in ("trainA", "trainB"):
        (tmp_path / "photos" / name / "broken.png").write_bytes(b"broken")
    script = pathlib.Path(__file__).parents[2] / "scripts" / "train_until_done.sh"
    done = subprocess.run(
        ["sh", str(script), "run", "--config", "smoke", "--dataset", "photos"],
        cwd=tmp_path,
        env=environment | {"PYTHON": sys.executable, "PAUSE": "0"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 1
    assert done.stderr.count("is started again") == 2
    assert done.stderr.endswith("Three starts in a row saved nothing new, so this gives up.\n")


def slurm(rank, node="127.0.0.1"):
    """The environment of a task of a job step, as srun sets it."""
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": node, "SLURM_STEP_TASKS_PER_NODE": "2"}
    return {"SLURM_PROCID": str(rank), "SLURM_NTASKS": "2", **step}


def test_the_tasks_of_a_slurm_step_train_together_without_gpus(tmp_path, environment):
    command = [sys.executable, "-m", "cyclegan", "train", *START, "--steps", "4", "--run-dir", "run"]
    tasks = [
        subprocess.Popen(
            [*command, "--workers", "slurm"],
            cwd=tmp_path,
            env=environment | slurm(rank),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    codes, outputs = finish(tasks)
    assert codes == [0, 0], outputs
    assert "2 replicas on 2 workers" in outputs[0]


def test_slurm_outside_of_a_step_is_refused_in_one_line(tmp_path, environment):
    outside = {"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}
    command = [sys.executable, "-m", "cyclegan", "train", *START, "--workers", "slurm"]
    done = subprocess.run(command, cwd=tmp_path, env=environment | outside, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert "must be used inside of a job step that srun has started" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_restart_loop_passes_a_signal_on_once_and_ends(tmp_path, environment):
    script = pathlib.Path(__file__).parents[2] / "scripts" / "train_until_done.sh"
    with subprocess.Popen(
        ["sh", str(script), "run", *START, "--steps", "100000"],
        cwd=tmp_path,
        env=environment | {"PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as loop:
        wait_for(loop, "step 5/")
        os.killpg(loop.pid, signal.SIGINT)  # as Ctrl-C in a terminal
        output = loop.communicate(timeout=200)[0]
    assert loop.returncode == 75
    assert "Stopped at step" in output and "started again" not in output
    assert int(newest(tmp_path / "run")["step"]) >= 5
