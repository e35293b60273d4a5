"""Whether XLA compiles the gradients. A run measures it once and keeps the choice.

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
"""A run that takes less time than this without XLA would not earn back the time of a compilation."""

TIMED_RUNS = 3

Compute = Callable[[tf.Tensor, tf.Tensor], Gradients]


class Compilation(NamedTuple):
    """The gradients function to train with, whether XLA compiles it, and the reason, as part of a sentence."""

    gradients: Compute
    jit_compile: bool
    reason: str


class _Candidate(NamedTuple):
    """A gradients function, and a function that runs it once on every replica and returns the seconds."""

    gradients: Compute
    run: Callable[[], float]

    def median_seconds(self) -> float:
        return sorted(self.run() for _ in range(TIMED_RUNS))[TIMED_RUNS // 2]


def choose_compilation(
    state: State,
    config: Config,
    strategy: tf.distribute.Strategy,
    read_batch: Callable[[], tuple[tf.Tensor, tf.Tensor]],
    num_steps: int,
    setting: bool | str,
) -> Compilation:
    """Builds the gradients function, compiled or not.

    The state does not change, because the gradients are pure.

    Args:
        state: the state of the run.
        config: the whole configuration.
        strategy: the strategy under which `state` was built.
        read_batch: returns a global batch (real_a, real_b) as the strategy distributes it. It is called only if
            something is run.
        num_steps: the number of steps that are still to be trained.
        setting: True, False or "auto". "auto" times both. Deterministic runs are not timed: they compile if XLA can.
            Runs that are too short are not compiled.

    Raises:
        CycleganError: if `setting` is True and the compilation fails.
    """

    def plain(reason: str) -> Compilation:
        return Compilation(build_gradients(state, config, strategy, jit_compile=False), False, reason)

    if synchronises_replicas(config, strategy):
        if setting is True:
            raise CycleganError(
                "XLA cannot compile batch normalization over several replicas. Use --set training.jit_compile=false."
            )
        return plain("batch normalization over several replicas cannot be compiled")
    if setting is False:
        return plain("as configured")

    batch = read_batch()
    compiled = _candidate(state, config, strategy, batch, jit_compile=True)
    if setting is True or config.training.deterministic:
        try:
            compiled.run()
        except tf.errors.OpError as error:
            if setting is True:
                raise CycleganError(
                    f"XLA cannot compile the training step: {first_line(error)}. Use --set training.jit_compile=false."
                ) from error
            return plain("compilation failed")
        reason = "as configured" if setting is True else "deterministic runs are not timed"
        return Compilation(compiled.gradients, True, reason)
    return _faster(_candidate(state, config, strategy, batch, jit_compile=False), compiled, num_steps)


def _candidate(
    state: State,
    config: Config,
    strategy: tf.distribute.Strategy,
    batch: tuple[tf.Tensor, tf.Tensor],
    *,
    jit_compile: bool,
) -> _Candidate:
    gradients = build_gradients(state, config, strategy, jit_compile)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def all_replicas(real_a: tf.Tensor, real_b: tf.Tensor) -> Gradients:
        return strategy.run(gradients, args=(real_a, real_b))  # type: ignore[no-any-return]

    def run() -> float:
        start = time.perf_counter()
        result = all_replicas(*batch)
        for loss in strategy.experimental_local_results(result.metrics["loss/discriminator_b"]):
            loss.numpy()  # waits for the device
        return time.perf_counter() - start

    return _Candidate(gradients, run)


def _faster(plain: _Candidate, compiled: _Candidate, num_steps: int) -> Compilation:
    """The faster of two gradients functions, if the run is long enough to find out."""
    plain.run()  # the first call traces
    plain_seconds = plain.median_seconds()
    if plain_seconds * num_steps < SHORT_RUN_SECONDS:
        reason = f"too short to gain: {num_steps} steps of {plain_seconds:.3f} s"
        return Compilation(plain.gradients, False, reason)
    try:
        compiled.run()  # compiles
    except tf.errors.OpError as error:
        return Compilation(plain.gradients, False, f"compilation failed: {first_line(error)}")
    compiled_seconds = compiled.median_seconds()
    reason = f"{compiled_seconds:.3f} s a step compiled, {plain_seconds:.3f} s not"
    if compiled_seconds < plain_seconds:
        return Compilation(compiled.gradients, True, reason)
    return Compilation(plain.gradients, False, reason)
