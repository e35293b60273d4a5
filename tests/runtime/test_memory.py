import psutil
import tensorflow as tf

from cyclegan.runtime import memory
from cyclegan.runtime.memory import free_bytes, peak_live_bytes


def graph(function):
    return tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec([100], tf.float32)).graph


def test_a_chain_holds_two_tensors_at_a_time():
    # The input and each result are 400 bytes; the constants of the chain are none.
    assert peak_live_bytes(graph(lambda x: tf.exp(tf.exp(tf.exp(x))))) == 800


def test_what_is_read_later_stays():
    def function(x):
        first = tf.exp(x)
        second = tf.exp(first)
        third = tf.exp(second)
        return first + second + third

    # Before the last sum: first + second, third, and the sum itself; the three results before that.
    assert peak_live_bytes(graph(function)) == 1600


def test_an_identity_costs_nothing():
    assert peak_live_bytes(graph(lambda x: tf.exp(tf.identity(tf.identity(x))))) == 800


def test_free_memory_is_what_the_limit_of_a_container_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CONTAINER", tmp_path)
    (tmp_path / "memory.stat").write_text("anon 600000\ninactive_file 400000\nactive_file 7\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert 0 < free_bytes() <= psutil.virtual_memory().total
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert free_bytes() == 3_000_000 - 1_000_000 + 400_000  # what is kept of files that were read makes room
