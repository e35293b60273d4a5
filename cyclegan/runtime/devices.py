"""Which devices a command uses, and the `tf.distribute` strategy over them."""

import re
from typing import NamedTuple

import tensorflow as tf

from cyclegan.errors import UsageError


class Devices(NamedTuple):
    """A strategy, and a line that says which devices were chosen and why."""

    strategy: tf.distribute.Strategy
    description: str


def choose_devices(request: str = "auto") -> Devices:
    """Turns the value of `--devices` into a strategy.

    Call it before anything else uses TensorFlow, because logical CPUs cannot be created later.

    Args:
        request: "auto" for all GPUs or, without a GPU, the CPU; "cpu"; "cpu:N" for N logical CPUs as N replicas; "gpu"
            for all GPUs; "gpu:0,1" for the GPUs with these numbers.

    Raises:
        UsageError: for any other request, or if a requested GPU does not exist.
    """
    match = re.fullmatch(r"auto|cpu(?::(\d+))?|gpu(?::(\d+(?:,\d+)*))?", request)
    if not match or match[1] == "0":
        raise UsageError(
            f"`--devices` must be one of auto, cpu, cpu:N, gpu, gpu:0,1. Received: {request}. Example: --devices cpu:2"
        )
    gpus = tf.config.list_physical_devices("GPU")
    if request.startswith("cpu"):
        return _cpus(int(match[1] or 1), "as asked")
    if request.startswith("gpu"):
        if not gpus:
            raise UsageError(
                f"`--devices {request}` asks for a GPU, but TensorFlow sees none. Use --devices cpu, or install"
                " a driver and the extra `gpu`; `cyclegan version` lists the devices."
            )
        numbers = [int(number) for number in match[2].split(",")] if match[2] else list(range(len(gpus)))
        missing = [number for number in numbers if number >= len(gpus)]
        if missing:
            raise UsageError(
                f"`--devices {request}` asks for GPU {missing[0]}, but TensorFlow sees GPUs 0 to {len(gpus) - 1}."
            )
        return _gpus(sorted(set(numbers)), "as asked")
    if gpus:
        return _gpus(list(range(len(gpus))), f"TensorFlow sees {len(gpus)}")
    return _cpus(1, "TensorFlow sees no GPU")


def device_names(request: str = "auto") -> list[str]:
    """TensorFlow's names of the devices that `choose_devices` chooses, for work that does not need a strategy.

    Args:
        request: as for `choose_devices`.

    Raises:
        UsageError: as for `choose_devices`.
    """
    return list(choose_devices(request).strategy.extended.worker_devices)


def _gpus(numbers: list[int], reason: str) -> Devices:
    names = [f"/gpu:{number}" for number in numbers]
    if len(names) == 1:
        return Devices(tf.distribute.OneDeviceStrategy(names[0]), f"GPU {numbers[0]} ({reason})")
    listed = ", ".join(str(number) for number in numbers)
    return Devices(tf.distribute.MirroredStrategy(names), f"GPUs {listed}, one replica each ({reason})")


def _cpus(count: int, reason: str) -> Devices:
    if count == 1:
        return Devices(tf.distribute.OneDeviceStrategy("/cpu:0"), f"CPU ({reason})")
    cpu = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(cpu) or []
    if len(configured) != count:
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError as error:
            raise UsageError(
                f"`--devices cpu:{count}` must be chosen before TensorFlow is used in this process."
            ) from error
    # NCCL does not work on CPUs. A reduction on one device also keeps the order of the sum, and so the bits.
    strategy = tf.distribute.MirroredStrategy(
        [f"/cpu:{number}" for number in range(count)],
        cross_device_ops=tf.distribute.ReductionToOneDevice("/cpu:0"),
    )
    return Devices(strategy, f"{count} logical CPUs, one replica each ({reason})")
