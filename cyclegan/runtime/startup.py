"""TensorFlow and converters without the pages of lines that they print."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress


def import_tensorflow() -> None:
    """Imports TensorFlow; an error of ours is then the only line on standard error.

    `TF_CPP_MIN_LOG_LEVEL=0` in the environment brings everything back.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silenced(2):
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextmanager
def silenced(*descriptors: int) -> Iterator[None]:
    """Nothing is written to these file descriptors, unless `TF_CPP_MIN_LOG_LEVEL` is 0.

    TensorFlow's C++ side writes to the descriptor itself, whatever its settings say, so the descriptor points elsewhere
    for as long.

    Args:
        descriptors: 1 for standard output, 2 for standard error.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    with ExitStack() as stack:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        for descriptor in descriptors:
            _flush()
            kept = os.dup(descriptor)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, descriptor)
            os.dup2(nowhere, descriptor)
        stack.callback(_flush)
        yield


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError):  # closed
            stream.flush()
