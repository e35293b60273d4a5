"""Where the time of a step goes on one device, on two logical CPUs, and in two processes of this machine.

python benchmarks/workers.py                                 64 px, 6 blocks, 32 filters, uncompiled
python benchmarks/workers.py --size 128 --blocks 9 --filters 64 --repeats 5

All three have the same global batch of two images of each domain, and they are timed in turn, each in processes of its
own. The parts are timed by themselves: the gradients, and the sum of as many numbers as they have over the replicas.
The rest is the update, the decision and the assignments.
"""

import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import click

KINDS = {"one device": 1, "two logical CPUs": 1, "two processes": 2}
"""How many processes each kind has."""

PARTS = ("whole step", "gradients", "sum over the replicas")


@click.command()
@click.option("--size", default=64, help="Pixels of a side.")
@click.option("--blocks", default=6, help="Residual blocks of the generators.")
@click.option("--filters", default=32, help="Filters of all networks.")
@click.option("--repeats", default=20, help="How often each part is timed in a round.")
@click.option("--rounds", default=3, help="Rounds in which each kind is started once.")
@click.option("--answer", default="", hidden=True)
def main(size: int, blocks: int, filters: int, repeats: int, rounds: int, answer: str) -> None:
    """Times the parts of a step, and prints the medians in milliseconds."""
    sizes = (size, blocks, filters, repeats)
    if answer:
        kind, rank, ports = json.loads(answer)
        click.echo(json.dumps(_measure(kind, rank, ports, *sizes)))
        return
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in KINDS:
            found[kind].append(_start(kind, sizes))
    click.echo(f"{'milliseconds':24}" + "".join(f"{kind:>20}" for kind in KINDS))
    for part in (*PARTS, "the rest"):
        medians = [statistics.median(each[part] for each in found[kind]) for kind in KINDS]
        click.echo(f"{part:24}" + "".join(f"{1000 * seconds:20.1f}" for seconds in medians))


def _start(kind: str, sizes: Sequence[int]) -> dict[str, float]:
    """Starts the processes of one kind, and returns what the first one has measured."""
    ports = []
    with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(KINDS[kind])]
    for server in with_ports:
        ports.append(server.getsockname()[1])
        server.close()
    names = ("--size", "--blocks", "--filters", "--repeats")
    options = [text for name, number in zip(names, sizes, strict=True) for text in (name, str(number))]
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--answer", json.dumps([kind, rank, ports]), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for rank in range(len(ports))
    ]
    outputs = [process.communicate()[0] for process in processes]
    found: dict[str, float] = json.loads(outputs[0].splitlines()[-1])
    return found


def _measure(
    kind: str, rank: int, ports: list[int], size: int, blocks: int, filters: int, repeats: int
) -> dict[str, float]:
    """The median seconds of each part on this process."""
    from cyclegan.runtime.allocator import keep_freed_memory

    keep_freed_memory()
    import numpy as np
    import tensorflow as tf
    from comparison import step_config

    from cyclegan.runtime.cluster import start_cluster
    from cyclegan.runtime.workers import Workers
    from cyclegan.training.length import run_length
    from cyclegan.training.network_calls import tensors
    from cyclegan.training.state import build_state
    from cyclegan.training.step import build_gradients, build_step
    from cyclegan.training.update import build_update

    tf.config.optimizer.set_experimental_options({"remapping": False})
    workers = Workers(tuple(f"127.0.0.1:{port}" for port in ports), rank) if len(ports) > 1 else None
    devices = "cpu:2" if kind == "two logical CPUs" else "cpu"
    cluster = start_cluster(devices, workers, lambda line: None)
    strategy = cluster.strategy
    batch = 2 // strategy.num_replicas_in_sync
    config = step_config(size, blocks, filters, {"training.batch_size": batch})
    state = build_state(config, strategy, run_length(config.training, 100, 2))
    gradients = build_gradients(state, config, strategy, jit_compile=False)
    random = np.random.default_rng(rank)
    images = [tf.constant(random.uniform(-1, 1, (batch, size, size, 3)), tf.float32) for _ in range(2)]
    weights = tensors([*state.generator_variables, *state.discriminator_variables])

    def of_gradients() -> tf.Tensor:
        own = gradients(*images)
        return tf.add_n([tf.reduce_sum(each) for each in (*own.generators, *own.discriminators)])

    def sum_over_replicas() -> tf.Tensor:
        values = [tf.identity(weight) for weight in weights]
        summed = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)
        return tf.add_n([tf.reshape(each, [-1])[0] for each in summed])

    step = build_step(state, strategy, gradients, build_update(state, config, jit_compile=False))
    functions: dict[str, Callable[[], object]] = {
        "whole step": tf.function(lambda: step(*images)),
        "gradients": tf.function(lambda: strategy.run(of_gradients)),
        "sum over the replicas": tf.function(lambda: strategy.run(sum_over_replicas)),
    }
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    for number in range(1 + repeats):
        for part, function in functions.items():
            start = time.perf_counter()
            for value in tf.nest.flatten(function()):
                for local in strategy.experimental_local_results(value):
                    local.numpy()
            if number:  # the first call traces
                seconds[part].append(time.perf_counter() - start)
    cluster.barrier()
    medians = {part: statistics.median(values) for part, values in seconds.items()}
    medians["the rest"] = medians["whole step"] - medians["gradients"] - medians["sum over the replicas"]
    return medians


if __name__ == "__main__":
    main()
