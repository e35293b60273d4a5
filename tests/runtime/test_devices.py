import subprocess
import sys

import pytest
import tensorflow as tf

from cyclegan.errors import UsageError
from cyclegan.runtime.devices import choose_devices, device_names, visible_gpus

NO_GPU = not tf.config.list_physical_devices("GPU")


@pytest.mark.parametrize("request_", ["", "tpu", "cpu:0", "cpu:x", "gpu:", "gpu:a", "cpu:1,2", "auto:1"])
def test_other_requests_are_refused_with_what_is_allowed(request_):
    with pytest.raises(UsageError, match="must be one of auto, cpu, cpu:N, gpu"):
        choose_devices(request_)


def test_a_cpu_is_not_divided_into_more_parts_than_the_memory_holds():
    with pytest.raises(UsageError, match=r"at most \d+ parts, of which each holds all networks. Received: cpu:999"):
        choose_devices("cpu:999")


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
@pytest.mark.parametrize("request_", ["gpu", "gpu:0", "gpu:0,1"])
def test_a_requested_gpu_that_does_not_exist_is_an_error(request_):
    with pytest.raises(UsageError, match="TensorFlow sees none"):
        choose_devices(request_)


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
def test_auto_without_a_gpu_is_the_cpu_and_says_why():
    strategy, description = choose_devices("auto")
    assert strategy.num_replicas_in_sync == 1
    assert description == "CPU (TensorFlow sees no GPU)"


@pytest.mark.parametrize(
    ("request_", "num_gpus", "visible"),
    [
        ("auto", 0, []),
        ("auto", 2, [0, 1]),
        ("cpu", 2, []),
        ("cpu:4", 2, []),
        ("gpu", 3, [0, 1, 2]),
        ("gpu:1", 2, [1]),
        ("gpu:3,1,3", 4, [1, 3]),
    ],
)
def test_only_the_gpus_that_were_asked_for_stay_visible(request_, num_gpus, visible):
    assert visible_gpus(request_, num_gpus) == visible


@pytest.mark.parametrize(("num_gpus", "seen"), [(1, "GPU 0 only"), (2, "GPUs 0 to 1")])
def test_a_gpu_beyond_the_last_is_refused_with_those_that_exist(num_gpus, seen):
    with pytest.raises(UsageError, match=rf"`--devices gpu:0,2` asks for GPU 2, but TensorFlow sees {seen}\."):
        visible_gpus("gpu:0,2", num_gpus)


class FourGpus:
    """Stands for TensorFlow's view of a machine with four GPUs, and keeps what is asked of it."""

    def __init__(self, monkeypatch):
        self.gpus = [tf.config.PhysicalDevice(f"/physical_device:GPU:{number}", "GPU") for number in range(4)]
        self.visible, self.growing = self.gpus, []
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: {"GPU": self.gpus}[kind])
        monkeypatch.setattr(tf.config, "set_visible_devices", lambda devices, kind: setattr(self, "visible", devices))
        monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, on: self.growing.append((gpu, on)))


@pytest.fixture
def four_gpus(monkeypatch):
    return FourGpus(monkeypatch)


def test_other_gpus_are_hidden_and_the_visible_ones_are_counted_from_0_again(four_gpus):
    assert device_names("gpu:1,3") == ["/gpu:0", "/gpu:1"]
    assert four_gpus.visible == [four_gpus.gpus[1], four_gpus.gpus[3]]


def test_memory_of_visible_gpus_is_taken_when_it_is_needed(four_gpus):
    device_names("gpu:1,3")
    assert four_gpus.growing == [(four_gpus.gpus[1], True), (four_gpus.gpus[3], True)]


def test_the_only_visible_gpu_is_described_by_its_own_number(four_gpus):
    strategy, description = choose_devices("gpu:2")
    assert description.startswith("GPU 2 (as asked); float32 is computed as TF32") and strategy.extended.worker_devices[
        0
    ].endswith("GPU:0")


def test_no_gpu_is_visible_to_work_on_the_cpu(four_gpus):
    assert device_names("cpu") == ["/cpu:0"]
    assert (four_gpus.visible, four_gpus.growing) == ([], [])


def test_gpus_cannot_be_hidden_after_tensorflow_was_used(four_gpus, monkeypatch):
    def refuse(devices, kind):
        raise RuntimeError("Visible devices cannot be modified after being initialized")  # the words of TensorFlow

    monkeypatch.setattr(tf.config, "set_visible_devices", refuse)
    with pytest.raises(UsageError, match="`--devices gpu:1` must be chosen before TensorFlow is used"):
        device_names("gpu:1")


def test_logical_cpus_cannot_be_made_after_tensorflow_was_used():
    tf.constant(0)
    with pytest.raises(UsageError, match="`--devices cpu:3` must be chosen before TensorFlow is used"):
        choose_devices("cpu:3")


def test_logical_cpus_are_replicas_and_their_sum_is_exact():
    """It has a process of its own, because logical devices are created once and strategies share collective keys."""
    program = """
import tensorflow as tf
from cyclegan.runtime.devices import choose_devices
strategy, description = choose_devices("cpu:3")
assert strategy.num_replicas_in_sync == 3, strategy
number = strategy.run(lambda: tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32))
assert float(strategy.reduce("SUM", number, axis=None)) == 3
print(description)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 logical CPUs, one replica each (as asked); one-device all-reduce\n"


def test_another_all_reduce_is_refused_with_what_is_allowed():
    with pytest.raises(UsageError, match="must be one of nccl, hierarchical, one-device. Received: ring."):
        choose_devices("cpu", "ring")


def test_nccl_needs_gpus_if_there_is_anything_to_sum():
    assert choose_devices("cpu", "nccl").description == "CPU (as asked)"
    code = "from cyclegan.runtime.devices import choose_devices; choose_devices('cpu:2', 'nccl')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "`--all-reduce nccl` needs GPUs" in done.stderr.splitlines()[-1]


HIERARCHICAL = """
import tensorflow as tf
from cyclegan.runtime.devices import choose_devices
strategy, description = choose_devices("cpu:2", "hierarchical")
number = tf.distribute.get_replica_context
total = strategy.run(lambda: number().all_reduce("SUM", tf.cast(number().replica_id_in_sync_group, tf.float32) + 1.0))
print([float(value) for value in strategy.experimental_local_results(total)], description)
"""


def test_a_hierarchical_all_reduce_sums_and_is_said():
    done = subprocess.run([sys.executable, "-c", HIERARCHICAL], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[3.0, 3.0] 2 logical CPUs, one replica each (as asked); hierarchical all-reduce\n"
