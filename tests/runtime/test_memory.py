import psutil
import tensorflow as tf

from cyclegan.runtime import memory
from cyclegan.runtime.memory import free_bytes, peak_live_bytes


def graph(function):
    return tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec([100], tf.float32)).graph


def test_a_chain_holds_two_tensors_at_a_time():
    # The input and each result have 400 bytes. The chain has no constants.
    assert peak_live_bytes(graph(lambda x: tf.exp(tf.exp(tf.exp(x))))) == 800


def test_a_tensor_that_is_read_later_counts_until_then():
    def function(x):
        first = tf.exp(x)
        second = tf.exp(first)
        third = tf.exp(second)
        return first + second + third

    # At the peak there are four tensors of 400 bytes.
    assert peak_live_bytes(graph(function)) == 1600


def test_an_identity_needs_no_memory():
    assert peak_live_bytes(graph(lambda x: tf.exp(tf.identity(tf.identity(x))))) == 800


def test_free_memory_is_the_rest_below_the_limit_of_a_container(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CONTAINER", tmp_path)
    (tmp_path / "memory.stat").write_text("anon 600000\ninactive_file 400000\nactive_file 7\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert 0 < free_bytes() <= psutil.virtual_memory().total
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert free_bytes() == 3_000_000 - 1_000_000 + 400_000  # copies of files that were read can be dropped
