"""The processes that train one model together: how they find each other, and what they tell each other.

Everything that must happen once, such as writing to the run directory, asks here. What the processes tell each other
goes through the collective operations of `tf.distribute`, as the gradients do. A process that trains alone is the chief
of a cluster of one, and never waits.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from cyclegan.errors import CycleganError, UsageError, first_line
from cyclegan.runtime.devices import choose_devices, device_names
from cyclegan.runtime.meeting import meet
from cyclegan.runtime.workers import Workers

START_SECONDS = 300.0
"""The processes wait so long for each other when they start."""

_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
)
"""What collective operations raise where another process is gone."""


class WorkerLost(CycleganError):
    """Another process has ended or does not answer, so nothing that all processes do together can go on."""


class Cluster:
    """One of the processes that train together.

    All of them make the same calls in the same order. A call returns when all processes have made it.

    Args:
        strategy: the strategy over all devices of all processes.
        addresses: the address of each process, in the order of their ranks.
        rank: the number of this process, counted from 0.
    """

    def __init__(self, strategy: tf.distribute.Strategy, addresses: Sequence[str] = ("",), rank: int = 0):
        self.strategy, self.addresses, self.rank = strategy, tuple(addresses), rank
        self.num_processes = len(self.addresses)
        self.num_local_replicas = int(strategy.num_replicas_in_sync) // self.num_processes

        def total(values: tf.Tensor) -> tf.Tensor:
            replicas = tf.distribute.get_replica_context()
            # A process counts once, however many replicas it has.
            counts = tf.equal(replicas.replica_id_in_sync_group % self.num_local_replicas, 0)
            return replicas.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(counts, values, tf.zeros_like(values)))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False)  # type: ignore[untyped-decorator]
        def on_all(values: tf.Tensor) -> tf.Tensor:
            return strategy.experimental_local_results(strategy.run(total, args=(values,)))[0]

        self._total = on_all

    @property
    def is_chief(self) -> bool:
        """Whether this process decides for all of them, and is the only one that writes to the run directory."""
        return self.rank == 0

    @property
    def first_replica(self) -> int:
        """The number of the first replica of this process, among the replicas of all."""
        return self.rank * self.num_local_replicas

    def sum(self, values: Sequence[int]) -> list[int]:
        """The sums of whole numbers over all processes. Their absolute values must be below 2^31."""
        if self.num_processes == 1:
            return list(values)
        return [int(value) for value in self._sum(np.array(values, np.int32))]

    def barrier(self) -> None:
        """Returns when all processes have called it."""
        self.sum([0])

    def gather(self, data: bytes) -> list[bytes]:
        """The data of all processes, in the order of their ranks."""
        if self.num_processes == 1:
            return [data]
        sizes = self.sum([len(data) if rank == self.rank else 0 for rank in range(self.num_processes)])
        words = np.zeros([self.num_processes, -(-max(sizes) // 4)], np.int32)
        words[self.rank].view(np.uint8)[: len(data)] = np.frombuffer(data, np.uint8)
        rows = self._sum(words.reshape(-1)).reshape(words.shape)
        return [row.tobytes()[:size] for row, size in zip(rows, sizes, strict=True)]

    def from_chief(self, data: bytes) -> bytes:
        """The data of the chief. What the other processes give is ignored."""
        if self.num_processes == 1:
            return data
        (size,) = self.sum([len(data) if self.is_chief else 0])
        words = np.zeros(-(-size // 4), np.int32)
        if self.is_chief:
            words.view(np.uint8)[:size] = np.frombuffer(data, np.uint8)
        return self._sum(words).tobytes()[:size]

    def _sum(self, words: np.ndarray) -> np.ndarray:
        if not words.size:  # TensorFlow's ring crashes on an empty tensor
            return words
        with self.naming_the_lost():
            total: np.ndarray = self._total(tf.constant(words)).numpy()
            return total

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A block that fails on all processes if it fails on one.

        Raises:
            CycleganError: the error of this process, or one that names the process that failed.
        """
        failure: CycleganError | None = None
        try:
            yield
        except WorkerLost:
            raise
        except CycleganError as error:
            failure = error
        errors = self.gather(str(failure or "").encode())
        if failure:
            raise failure
        for rank, text in enumerate(errors):
            if text:
                raise CycleganError(f"{self._name(rank)} has failed: {text.decode()}")

    @contextlib.contextmanager
    def naming_the_lost(self) -> Iterator[None]:
        """Turns what collective operations raise into an error that names the process that is gone.

        Raises:
            WorkerLost: if another process has ended or does not answer.
        """
        try:
            yield
        except _LOST as error:
            # TensorFlow's only statement of the process is its name for it, such as /job:worker/replica:0/task:1.
            ranks = {int(task) for task in re.findall(r"/job:worker/(?:replica:\d+/)?task:(\d+)", str(error))}
            if self.num_processes == 1 or (isinstance(error, tf.errors.InternalError) and not ranks):
                raise
            lost = [self._name(rank) for rank in sorted(ranks - {self.rank}) if rank < self.num_processes]
            raise WorkerLost(
                f"{' and '.join(lost) or 'Another worker'} has ended or does not answer. Start all workers again with"
                " the --run-dir of the run, which then continues from its newest checkpoint."
            ) from error

    def _name(self, rank: int) -> str:
        return f"Worker {rank} ({self.addresses[rank]})"


def start_cluster(
    devices: str,
    workers: Workers | None,
    report: Callable[[str], None],
    start_seconds: float = START_SECONDS,
    all_reduce: str | None = None,
) -> Cluster:
    """Chooses the devices of this process, and waits until all processes are there.

    Call it before anything else uses TensorFlow.

    Args:
        devices: the request for `choose_devices`. With other processes, each uses its GPUs or its CPU as a whole.
        workers: the processes; None if this one trains alone.
        report: called with a line that says what was chosen.
        start_seconds: how long to wait for all processes.
        all_reduce: as for `choose_devices`; None with other processes.

    Raises:
        UsageError: if the devices cannot be used as asked.
        CycleganError: if this process cannot listen at its address, or if not all processes are there in time.
    """
    if workers is None:
        strategy, description = choose_devices(devices, all_reduce)
        report(f"Devices: {description}.")
        return Cluster(strategy)
    if all_reduce:
        raise UsageError(
            "`--all-reduce` is for several devices of one machine. Several workers use NCCL on GPUs, and a ring on"
            f" CPUs. Received: --all-reduce {all_reduce}."
        )
    if devices.startswith("cpu:"):
        raise UsageError(
            f"`--devices` must be auto, cpu, gpu or gpu:0,1 with several workers. Received: {devices}. Start more"
            " workers on one machine instead."
        )
    names = device_names(devices)
    addresses = workers.addresses or _ask_slurm()
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(addresses)}), task_type="worker", task_id=workers.rank, rpc_layer="grpc"
    )
    on_gpus = "gpu" in names[0]
    implementation = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=implementation.NCCL if on_gpus else implementation.RING
    )
    report(f"Worker {workers.rank} of {len(addresses)} at {addresses[workers.rank]}: waiting for the others.")
    meet(addresses, workers.rank, start_seconds)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver, communication_options=options)
        cluster = Cluster(strategy, addresses, workers.rank)
        cluster.barrier()
    except tf.errors.OpError as error:
        raise CycleganError(f"Worker {workers.rank} cannot start: {first_line(error)}") from error
    report(
        f"Devices: {strategy.num_replicas_in_sync} replicas on {len(addresses)} workers, here"
        f" {', '.join(names)}; {options.implementation.value.lower()} all-reduce."
    )
    return cluster


def _ask_slurm() -> tuple[str, ...]:
    try:
        # The numbers of GPUs are not used, but TensorFlow would ask `nvidia-smi` for them, which may not be there.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            auto_set_gpu=False, gpus_per_node=1024, gpus_per_task=1
        )
        return tuple(resolver.cluster_spec().as_dict()["worker"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise UsageError(
            "`--workers slurm` must be used inside of a job step that srun has started. Received an environment that"
            f" does not fit: {first_line(error)}"
        ) from error
