"""Whether XLA compiles the gradients: measured once per run, then kept.

Compiled and uncompiled gradients differ in their last bits, so a run that is continued must not choose again.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.errors import CycleganError, first_line
from cyclegan.training.gradients import Gradients
from cyclegan.training.state import State
from cyclegan.training.step import build_gradients, synchronises_replicas

SHORT_RUN_SECONDS = 60.0
"""A run that takes less than this uncompiled would not earn back the time of a compilation."""

TIMED_RUNS = 3

Compute = Callable[[tf.Tensor, tf.Tensor], Gradients]


class Compilation(NamedTuple):
    """The gradients function to train with, whether XLA compiles it, and why."""

    gradients: Compute
    jit_compile: bool
    reason: str


def choose_compilation(
    state: State,
    config: Config,
    strategy: tf.distribute.Strategy,
    read_batch: Callable[[], tuple[tf.Tensor, tf.Tensor]],
    num_steps: int,
    setting: bool | str,
) -> Compilation:
    """Builds the gradients function, compiled or not.

    Nothing in the state changes: gradients are pure.

    Args:
        state: the state of the run.
        config: the whole configuration.
        strategy: under which `state` was built.
        read_batch: gives a global batch (real_a, real_b), as the strategy distributes it; called if something is run.
        num_steps: steps still to train.
        setting: True, False, or "auto". "auto" times both, except in deterministic runs (which compile if
            compilation works) and in runs too short for it.

    Raises:
        CycleganError: if `setting` is True and the compilation fails.
    """

    def build(jit_compile: bool) -> tuple[Compute, Callable[[], float]]:
        gradients = build_gradients(state, config, strategy, jit_compile)

        @tf.function(autograph=False)
        def all_replicas(real_a: tf.Tensor, real_b: tf.Tensor) -> Gradients:
            return strategy.run(gradients, args=(real_a, real_b))

        def seconds() -> float:
            start = time.perf_counter()
            result = all_replicas(*batch)
            for loss in strategy.experimental_local_results(result.metrics["loss/discriminator_b"]):
                loss.numpy()  # waits for the device
            return time.perf_counter() - start

        return gradients, seconds

    def median(seconds: Callable[[], float]) -> float:
        return sorted(seconds() for _ in range(TIMED_RUNS))[TIMED_RUNS // 2]

    if synchronises_replicas(config, strategy):
        if setting is True:
            raise CycleganError(
                "XLA cannot compile batch normalization over several replicas. Use --set training.jit_compile=false."
            )
        return Compilation(build(False)[0], False, "batch normalization over several replicas cannot be compiled")
    if setting is False:
        return Compilation(build(False)[0], False, "as configured")
    batch = read_batch()

    if setting is True or config.training.deterministic:
        gradients, seconds = build(True)
        try:
            seconds()
        except tf.errors.OpError as error:
            if setting is True:
                raise CycleganError(
                    f"XLA cannot compile the training step: {first_line(error)}. Use --set training.jit_compile=false."
                ) from error
            return Compilation(build(False)[0], False, "compilation failed")
        return Compilation(gradients, True, "as configured" if setting is True else "deterministic runs are not timed")

    plain, seconds = build(False)
    seconds()  # the first call traces
    plain_seconds = median(seconds)
    if plain_seconds * num_steps < SHORT_RUN_SECONDS:
        return Compilation(plain, False, f"too short to gain: {num_steps} steps of {plain_seconds:.3f} s")
    compiled, seconds = build(True)
    try:
        seconds()
    except tf.errors.OpError as error:
        return Compilation(plain, False, f"compilation failed: {first_line(error)}")
    compiled_seconds = median(seconds)
    reason = f"{compiled_seconds:.3f} s a step compiled, {plain_seconds:.3f} s not"
    if compiled_seconds < plain_seconds:
        return Compilation(compiled, True, reason)
    return Compilation(plain, False, reason)
