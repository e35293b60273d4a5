import tensorflow as tf

from cyclegan.config.files import load_config
from cyclegan.training.footprint import estimate_peak_bytes
from cyclegan.training.state import build_state


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
