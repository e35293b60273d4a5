"""Which processes train together, and which of them this one is, as the command line or a cluster says it."""

import json
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from cyclegan.errors import UsageError

SLURM = "slurm"


class Workers(NamedTuple):
    """The processes that train together.

    Attributes:
        addresses: host:port of each process, in the order of their ranks; None if Slurm has to be asked.
        rank: the number of this process, counted from 0.
    """

    addresses: tuple[str, ...] | None
    rank: int


def find_workers(request: str | None, index: int | None, environment: Mapping[str, str] = os.environ) -> Workers | None:
    """Reads `--workers` and `--worker-index`, or else `TF_CONFIG`.

    Args:
        request: "host:port,host:port", or "slurm" for the tasks of a Slurm job; None leaves it to `TF_CONFIG`.
        index: the rank of this process; None if the request does not need it.
        environment: the environment variables.

    Returns:
        The processes, or None if this process trains alone.

    Raises:
        UsageError: if the request or `TF_CONFIG` is wrong.
    """
    if request is None:
        if index is not None:
            raise UsageError(f"`--worker-index` needs --workers. Received: --worker-index {index} alone.")
        return _from_tf_config(environment["TF_CONFIG"]) if environment.get("TF_CONFIG") else None
    if request == SLURM:
        rank, size = environment.get("SLURM_PROCID", ""), environment.get("SLURM_NTASKS", "")
        if not (rank.isdigit() and size.isdigit()):
            raise UsageError(
                "`--workers slurm` must be used inside of a job step that srun has started, where SLURM_PROCID and"
                f" SLURM_NTASKS are set. Received: SLURM_PROCID={rank}, SLURM_NTASKS={size}."
            )
        return Workers(None, int(rank)) if int(size) > 1 else None
    addresses = tuple(request.split(","))
    _check_addresses("--workers", addresses)
    if index is None or not 0 <= index < len(addresses):
        raise UsageError(
            f"`--worker-index` must be a number from 0 to {len(addresses) - 1}, another one for each of the"
            f" {len(addresses)} processes. Received: {index}."
        )
    return Workers(addresses, index) if len(addresses) > 1 else None


def _from_tf_config(text: str) -> Workers | None:
    try:
        content = json.loads(text)
        if content == {}:  # as many programs say that there is no cluster
            return None
        cluster, task = content["cluster"], content["task"]
        chiefs, workers = list(cluster.get("chief", [])), list(cluster.get("worker", []))
        addresses = tuple(map(str, chiefs + workers))
        rank = int(task["index"]) + (len(chiefs) if task["type"] == "worker" else 0)
        is_known = task["type"] in ("chief", "worker") and 0 <= rank < len(addresses)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            'The environment variable TF_CONFIG must look like {"cluster": {"worker": ["host:port", ...]}, "task":'
            f' {{"type": "worker", "index": 0}}}}. Received: {text}'
        ) from error
    if not is_known:
        raise UsageError(
            f"The environment variable TF_CONFIG names a task that takes no part in the training. Received: {task}."
            " Its type must be worker or chief, and its index must be that of an address."
        )
    _check_addresses("TF_CONFIG", addresses)
    return Workers(addresses, rank) if len(addresses) > 1 else None


def _check_addresses(name: str, addresses: tuple[str, ...]) -> None:
    for address in addresses:
        match = re.fullmatch(r"[^\s,:/]+:(\d{1,5})|\[[0-9A-Fa-f:.]+\]:(\d{1,5})", address)
        if not match or not 0 < int(match[1] or match[2]) < 65536:
            raise UsageError(
                f"`{name}` must list an address for each process, such as host1:2222,host2:2222. Received: {address!r}."
            )
    if len(set(addresses)) < len(addresses):
        raise UsageError(f"`{name}` must list each address once. Received: {','.join(addresses)}.")
