"""TensorFlow without the page of lines that its start prints on standard error."""

import os
import sys


def import_tensorflow() -> None:
    """Imports TensorFlow; an error of ours is then the only line on standard error.

    Its C++ side writes to the file descriptor before any of its settings applies, so the descriptor itself points
    elsewhere for as long. `TF_CPP_MIN_LOG_LEVEL=0` in the environment brings everything back.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
