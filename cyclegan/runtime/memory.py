"""How much memory is free, and how much memory a graph needs."""

import pathlib
import re

import psutil
import tensorflow as tf

_ALIASES = frozenset({"Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "ReadVariableOp"})
"""Operations whose output uses the memory of their input."""

_CONTAINER = pathlib.Path("/sys/fs/cgroup")
"""Where Linux shows the memory limit of a container."""


def free_bytes() -> int:
    """Memory that can still be used without swapping, in bytes.

    In a container with a memory limit, this is at most what the limit leaves.
    """
    free = psutil.virtual_memory().available
    try:
        # A copy of files that were read counts as used memory, but the system drops it when memory is needed.
        cached = re.search(r"^inactive_file (\d+)$", (_CONTAINER / "memory.stat").read_text(), re.MULTILINE)
        used = int((_CONTAINER / "memory.current").read_text()) - (int(cached[1]) if cached else 0)
        return max(0, min(free, int((_CONTAINER / "memory.max").read_text()) - used))
    except (OSError, ValueError):  # there is no container, or it does not have a limit
        return free


def peak_live_bytes(graph: tf.Graph) -> int:
    """Peak memory of a graph: the largest total size, in bytes, of tensors that exist at the same time.

    It is assumed that the operations run in the order of the graph. Tensors of unknown shape count as 0 bytes.
    """
    operations = graph.get_operations()
    outputs = {id(_owner(tensor)) for tensor in getattr(graph, "outputs", ())}
    last_use: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for index, operation in enumerate(operations):
        for tensor in operation.inputs:
            last_use[id(_owner(tensor))] = index
    freed_at: dict[int, list[int]] = {}
    for key, index in last_use.items():
        if key not in outputs:
            freed_at.setdefault(index, []).append(key)

    live = peak = 0
    for index, operation in enumerate(operations):
        for tensor in operation.outputs:
            if _owner(tensor) is tensor:
                sizes[id(tensor)] = _size(tensor)
                live += sizes[id(tensor)]
        peak = max(peak, live)
        for key in freed_at.get(index, ()):
            live -= sizes.get(key, 0)
        for tensor in operation.outputs:
            if _owner(tensor) is tensor and id(tensor) not in last_use and id(tensor) not in outputs:
                live -= sizes[id(tensor)]
    return peak


def _owner(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor whose memory this tensor uses."""
    while tensor.op.type in _ALIASES and tensor.op.inputs and tensor.dtype == tensor.op.inputs[0].dtype:
        tensor = tensor.op.inputs[0]
    return tensor


def _size(tensor: tf.Tensor) -> int:
    count = tensor.shape.num_elements()
    return 0 if count is None or tensor.dtype == tf.resource else count * tensor.dtype.size
