"""Which devices a command uses, and the `tf.distribute` strategy over them.

The GPUs that a command does not use are hidden from TensorFlow, and the memory of the others is taken when it is
needed. Otherwise TensorFlow takes all memory of all GPUs at its start, and two runs on one machine are in each other's
way.
"""

import contextlib
import os
import re
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from cyclegan.errors import UsageError

LOGICAL_CPUS = 8
"""A CPU can be divided into so many parts, or into as many as it has cores. A thousand would take all memory."""


ALL_REDUCE: dict[str, Callable[[], tf.distribute.CrossDeviceOps]] = {
    "nccl": tf.distribute.NcclAllReduce,
    "hierarchical": tf.distribute.HierarchicalCopyAllReduce,
    "one-device": tf.distribute.ReductionToOneDevice,
}
"""Ways to sum the gradients of several devices of one machine, by the value of `--all-reduce`."""


class Devices(NamedTuple):
    """A strategy, and a line that says which devices were chosen and why."""

    strategy: tf.distribute.Strategy
    description: str


def choose_devices(request: str = "auto", all_reduce: str | None = None) -> Devices:
    """Turns the value of `--devices` into a strategy, and hides all other GPUs from this process.

    Call it before anything else uses TensorFlow, because devices cannot be hidden or made later.

    Args:
        request: "auto" for all GPUs or, without a GPU, the CPU; "cpu"; "cpu:N" for N logical CPUs as N replicas; "gpu"
            for all GPUs; "gpu:0,1" for the GPUs with these numbers.
        all_reduce: how several devices sum their gradients, one of `ALL_REDUCE`. None: nccl for GPUs and one-device for
            logical CPUs. A single device ignores it.

    Raises:
        UsageError: for any other request, if a requested GPU does not exist, or if it is too late for the request.
    """
    physical = tf.config.list_physical_devices("GPU")
    numbers = visible_gpus(request, len(physical))
    names = device_names(request)
    sums = _all_reduce(all_reduce, names)
    if numbers:
        why = "as asked" if request.startswith("gpu") else f"TensorFlow sees {len(physical)}"
        if len(names) == 1:
            return Devices(tf.distribute.OneDeviceStrategy(names[0]), f"GPU {numbers[0]} ({why}){_tf32()}")
        listed = ", ".join(map(str, numbers))
        strategy = tf.distribute.MirroredStrategy(names, cross_device_ops=ALL_REDUCE[sums]())
        return Devices(strategy, f"GPUs {listed}, one replica each ({why}); {sums} all-reduce{_tf32()}")
    why = "as asked" if request.startswith("cpu") else "TensorFlow sees no GPU"
    if len(names) == 1:
        return Devices(tf.distribute.OneDeviceStrategy(names[0]), f"CPU ({why})")
    strategy = tf.distribute.MirroredStrategy(names, cross_device_ops=ALL_REDUCE[sums]())
    return Devices(strategy, f"{len(names)} logical CPUs, one replica each ({why}); {sums} all-reduce")


def _all_reduce(request: str | None, names: list[str]) -> str:
    """The way to sum that was asked for, or the usual one for these devices."""
    on_gpus = "gpu" in names[0]
    if request is None:
        # NCCL does not work on CPUs. A reduction on one device also keeps the order of the sum, and so the bits.
        return "nccl" if on_gpus else "one-device"
    if request not in ALL_REDUCE:
        raise UsageError(f"`--all-reduce` must be one of {', '.join(ALL_REDUCE)}. Received: {request}.")
    if request == "nccl" and not on_gpus and len(names) > 1:
        raise UsageError("`--all-reduce nccl` needs GPUs. Use one-device or hierarchical for logical CPUs.")
    return request


def _tf32() -> str:
    """What float32 means on a GPU."""
    is_on = tf.config.experimental.tensor_float_32_execution_enabled()
    return f"; float32 is computed {'as TF32, with 10 bits of mantissa, where the GPU has it' if is_on else 'in full'}"


def device_names(request: str = "auto") -> list[str]:
    """TensorFlow's names of the devices, for work that does not need a strategy. Other GPUs are hidden.

    TensorFlow counts only the GPUs that it sees: if GPU 3 alone is visible, its name is "/gpu:0".

    Args:
        request: as for `choose_devices`.

    Raises:
        UsageError: as for `choose_devices`.
    """
    physical = tf.config.list_physical_devices("GPU")
    numbers = visible_gpus(request, len(physical))
    num_cpus = int(request.partition(":")[2]) if request.startswith("cpu:") else 1
    try:
        tf.config.set_visible_devices([physical[number] for number in numbers], "GPU")
        if num_cpus > 1:
            _make_logical_cpus(num_cpus)
    except RuntimeError as error:
        raise UsageError(
            f"`--devices {request}` must be chosen before TensorFlow is used in this process. Start a new process."
        ) from error
    for number in numbers:
        # A process that has used its GPUs already, or has divided them, has decided about their memory.
        with contextlib.suppress(RuntimeError, ValueError):
            tf.config.experimental.set_memory_growth(physical[number], True)
    return [f"/gpu:{place}" for place in range(len(numbers))] or [f"/cpu:{number}" for number in range(num_cpus)]


def visible_gpus(request: str, num_gpus: int) -> list[int]:
    """The numbers of the GPUs that stay visible for a request; none if the CPU does the work.

    Args:
        request: as for `choose_devices`.
        num_gpus: the number of GPUs of this machine.

    Raises:
        UsageError: if the request is not allowed, or names a GPU that does not exist.
    """
    match = re.fullmatch(r"auto|cpu(?::(\d+))?|gpu(?::(\d+(?:,\d+)*))?", request)
    if not match or (match[1] and int(match[1]) == 0):
        raise UsageError(
            f"`--devices` must be one of auto, cpu, cpu:N, gpu, gpu:0,1. Received: {request}. Example: --devices cpu:2"
        )
    if request.startswith("cpu"):
        most = max(LOGICAL_CPUS, os.cpu_count() or 1)
        if match[1] and int(match[1]) > most:
            raise UsageError(
                f"`--devices cpu:N` must divide the CPU into at most {most} parts, of which each holds all networks."
                f" Received: {request}."
            )
        return []
    if request.startswith("gpu") and not num_gpus:
        raise UsageError(
            f"`--devices {request}` asks for a GPU, but TensorFlow sees none. Use --devices cpu, or install"
            " a driver and the extra `gpu`; `cyclegan version` lists the devices."
        )
    numbers = sorted({int(number) for number in match[2].split(",")}) if match[2] else list(range(num_gpus))
    if missing := [number for number in numbers if number >= num_gpus]:
        seen = f"GPUs 0 to {num_gpus - 1}" if num_gpus > 1 else "GPU 0 only"
        raise UsageError(f"`--devices {request}` asks for GPU {missing[0]}, but TensorFlow sees {seen}.")
    return numbers


def _make_logical_cpus(count: int) -> None:
    """Divides the CPU into logical CPUs, unless it has been divided so already."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or []) != count:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
