"""Importing TensorFlow, and running converters, without the many lines that they print."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress


def import_tensorflow() -> None:
    """Imports TensorFlow and drops the lines that it prints while it starts.

    With `TF_CPP_MIN_LOG_LEVEL=0` in the environment the lines are printed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silenced(2):
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextmanager
def silenced(*descriptors: int) -> Iterator[None]:
    """Drops everything that is written to these file descriptors, unless `TF_CPP_MIN_LOG_LEVEL` is 0.

    The C++ part of TensorFlow writes to the descriptor itself, independently of its log settings. So the descriptor
    points to the null device inside the `with` block.

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
        with suppress(ValueError, AttributeError):  # the stream is closed, or there is none
            stream.flush()
