"""Which precision a run computes in, where `training.precision` leaves it to the program."""

import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import Plan, with_precision

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""How Linux calls the instructions of a processor that multiply in bfloat16; the last one is that of ARM."""

BFLOAT16_CAPABILITY = (8, 0)
"""GPUs multiply in bfloat16 from this compute capability upwards."""

WORTHWHILE = 1.15
"""bfloat16 is taken only if it is at least this many times as fast."""

MIN_ROUNDS = 5
TIMED_SECONDS = 0.5

CPU_INFO = pathlib.Path("/proc/cpuinfo")


class Precision(NamedTuple):
    """A precision, and a line that says why it was chosen."""

    name: str
    reason: str


def with_known_precision(plan: Plan, cluster: Cluster, progress: Progress) -> Plan:
    """The plan with a precision instead of `auto`, which the chief chooses once, for all processes and all sessions."""
    if plan.config.training.precision != "auto":
        return plan
    name, reason = choose_precision(plan.config, cluster.strategy.extended.worker_devices[0])
    progress.line(reason)
    return plan._replace(config=with_precision(plan.config, name))


def choose_precision(config: Config, device: str) -> Precision:
    """The precision for `training.precision: auto`: mixed_bfloat16 where it gains speed on this machine, or float32.

    A convolution of a residual block and its gradients are timed in both. Deterministic runs are not timed.

    Args:
        config: the size of the images and of the generators, and whether XLA compiles everything.
        device: the TensorFlow name of a device of the run, such as "/gpu:0".
    """
    if lack := _lacks(device):
        return Precision("float32", f"Precision: float32, because {lack}.")
    if config.training.deterministic:
        return Precision("mixed_bfloat16", "Precision: mixed_bfloat16, which this device has instructions for.")
    gain = _gain(config, device)
    if gain < WORTHWHILE:
        return Precision(
            "float32", f"Precision: float32, because bfloat16 makes a convolution only {gain:.2f} times as fast."
        )
    return Precision(
        "mixed_bfloat16", f"Precision: mixed_bfloat16, which makes a convolution {gain:.1f} times as fast."
    )


def _lacks(device: str) -> str | None:
    """Why a device cannot gain anything from bfloat16; None if it may."""
    if "GPU" in device.upper():
        number = int(device.rpartition(":")[2])
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[number])
        capability = details.get("compute_capability", (0, 0))
        return None if capability >= BFLOAT16_CAPABILITY else "this GPU has no bfloat16"
    try:
        words = set(CPU_INFO.read_text().split())
    except OSError:
        words = set()
    return None if words & BFLOAT16_FLAGS else "this processor has no instructions for bfloat16"


def _gain(config: Config, device: str) -> float:
    """How many times as fast as in float32 a convolution of a residual block and its gradients are in bfloat16.

    The two take turns, and the shortest times count, because the machine may be busy with something else.
    """
    full, half = (_convolution(config, device, dtype) for dtype in (tf.float32, tf.bfloat16))
    _timed(full), _timed(half)
    start, rounds = time.perf_counter(), [(_timed(full), _timed(half))]
    while len(rounds) < MIN_ROUNDS or time.perf_counter() - start < TIMED_SECONDS:
        rounds.append((_timed(full), _timed(half)))
    return min(seconds for seconds, _ in rounds) / min(seconds for _, seconds in rounds)


def _convolution(config: Config, device: str, dtype: tf.DType) -> Callable[[], list[tf.Tensor]]:
    side, channels = max(config.data.crop_size // 4, 8), 4 * config.generator.filters
    with tf.device(device):
        image = tf.zeros([config.training.batch_size, side, side, channels], dtype)
        kernel = tf.zeros([3, 3, channels, channels], dtype)

    @tf.function(jit_compile=config.training.jit_compile is True, autograph=False)  # type: ignore[untyped-decorator]
    def compute() -> list[tf.Tensor]:
        with tf.device(device), tf.GradientTape() as tape:
            tape.watch([image, kernel])
            total = tf.reduce_sum(tf.nn.conv2d(image, kernel, 1, "SAME"))
        gradients: list[tf.Tensor] = tape.gradient(total, [image, kernel])
        return gradients

    return compute  # type: ignore[no-any-return]


def _timed(compute: Callable[[], list[tf.Tensor]]) -> float:
    start = time.perf_counter()
    for tensor in compute():
        tensor.numpy()  # waits for a GPU
    return time.perf_counter() - start
