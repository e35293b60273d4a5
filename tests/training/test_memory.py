import tensorflow as tf

from cyclegan.config_files import load_config
from cyclegan.training.memory import estimate_peak_bytes, peak_live_bytes
from cyclegan.training.state import build_state


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


def test_the_estimate_grows_with_batch_size_and_pool():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")

    def estimate(*overrides):
        config = load_config("smoke", overrides)
        return estimate_peak_bytes(build_state(config, strategy, 1), config, 1)

    one = estimate()
    assert estimate(("training.batch_size", 8)) > one
    # 100 more images of 32 x 32 x 3 float32 in each of two pools.
    assert estimate(("training.pool_size", 105)) - one >= 2 * 100 * 32 * 32 * 3 * 4
    assert estimate(("training.jit_compile", True)) - one == 500e6
