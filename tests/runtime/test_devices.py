import subprocess
import sys

import pytest
import tensorflow as tf

from cyclegan.errors import UsageError
from cyclegan.runtime.devices import choose_devices

NO_GPU = not tf.config.list_physical_devices("GPU")


@pytest.mark.parametrize("request_", ["", "tpu", "cpu:0", "cpu:x", "gpu:", "gpu:a", "cpu:1,2", "auto:1"])
def test_other_requests_are_refused_with_what_is_allowed(request_):
    with pytest.raises(UsageError, match="must be one of auto, cpu, cpu:N, gpu"):
        choose_devices(request_)


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
    assert done.stdout == "3 logical CPUs, one replica each (as asked)\n"
