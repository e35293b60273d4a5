"""The pause that a checkpoint makes in the training, and the time that it takes to write it beside the training.

    python benchmarks/pause.py [--filters 64] [--blocks 9] [--size 256]

The state is that of a run with full pools. A pause is the time in which no step can run: the copy of all values.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

ROUNDS = 7


def main() -> None:
    """Prints medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--size", type=int, default=256)
    options = parser.parse_args()

    import tensorflow as tf

    from cyclegan.config.files import load_config
    from cyclegan.training.checkpoints import save_checkpoint
    from cyclegan.training.length import run_length
    from cyclegan.training.state import build_state, snapshot

    keys = {
        "data.load_size": options.size,
        "data.crop_size": options.size,
        "generator.filters": options.filters,
        "generator.num_blocks": options.blocks,
        "discriminator.filters": options.filters,
    }
    config = load_config(None, list(keys.items()))
    strategy = tf.distribute.OneDeviceStrategy("/gpu:0" if tf.config.list_physical_devices("GPU") else "/cpu:0")
    variables = build_state(config, strategy, run_length(config.training, 100, 1)).named(strategy)
    copying, writing = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            start = time.perf_counter()
            arrays = snapshot(variables)
            copied = time.perf_counter()
            path = save_checkpoint(arrays, pathlib.Path(folder), number, keep=1)
            copying.append(copied - start)
            writing.append(time.perf_counter() - copied)
        print(f"{path.stat().st_size / 1e6:.0f} MB in {len(variables)} arrays, medians of {ROUNDS} rounds")
    print(f"copied, which is the pause: {statistics.median(copying):.3f} s")
    print(f"written beside the training: {statistics.median(writing):.3f} s")


if __name__ == "__main__":
    main()
