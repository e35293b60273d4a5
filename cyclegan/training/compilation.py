"""Which parts of a step XLA compiles: the gradients, the update, both or none. A run measures it once and keeps it.

Compiled and uncompiled code differ in their last bits, so a run that is continued must not choose again.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.errors import CycleganError
from cyclegan.training.gradients import Gradients
from cyclegan.training.record import Choice
from cyclegan.training.state import State
from cyclegan.training.step import Compute, build_gradients, synchronises_replicas
from cyclegan.training.update import Update, build_update

SHORT_RUN_SECONDS = 60.0
"""A run that takes less time than this without XLA would not earn back the time of a compilation."""

TIMED_RUNS = 3


class Parts(NamedTuple):
    """The two parts of a step that XLA may compile, as `build_step` takes them."""

    gradients: Compute
    update: Callable[[Gradients], Update]


class _Candidate(NamedTuple):
    """A function to train with, and a function that runs it once on every replica and returns its result."""

    function: Callable[..., Any]
    run: Callable[[], Any]

    def median_seconds(self) -> float:
        return sorted(_seconds(self.run) for _ in range(TIMED_RUNS))[TIMED_RUNS // 2]


def choose_compilation(
    state: State,
    config: Config,
    strategy: tf.distribute.Strategy,
    read_batch: Callable[[], tuple[tf.Tensor, tf.Tensor]],
    num_steps: int,
    made: Choice | None = None,
) -> tuple[Parts, Choice]:
    """Builds the parts of a step, compiled or not.

    The state does not change, because both parts are pure.

    Args:
        state: the state of the run.
        config: the whole configuration. `training.jit_compile` is true, false or "auto". "auto" times each part with
            and without XLA. Deterministic runs are not timed: they compile if XLA can. Runs that are too short are
            not compiled.
        strategy: the strategy under which `state` was built.
        read_batch: returns a global batch (real_a, real_b) as the strategy distributes it. It is called only if
            something is run.
        num_steps: the number of steps that are still to be trained.
        made: the choice that the run has made before, if it is continued.

    Returns:
        The parts, and the choice for the record of the run.

    Raises:
        CycleganError: if the compilation is asked for and fails.
    """
    setting = config.training.jit_compile

    def parts(choice: Choice) -> tuple[Parts, Choice]:
        gradients = build_gradients(state, config, strategy, choice.gradients)
        return Parts(gradients, build_update(state, config, choice.update)), choice

    if synchronises_replicas(config, strategy):
        if setting is True:
            raise CycleganError(
                "XLA cannot compile batch normalization over several replicas. Use --set training.jit_compile=false."
            )
        return parts(Choice(False, False, "batch normalization over several replicas cannot be compiled"))
    if made is None and setting != "auto":
        made = Choice(setting, setting, f"training.jit_compile is {str(setting).lower()}")
    if made is None and not config.training.deterministic:
        return _faster(state, config, strategy, read_batch(), num_steps)

    asked = made or Choice(True, True, "deterministic runs are not timed")
    found = parts(asked)
    if asked.gradients or asked.update:
        try:
            _run_once(found[0], strategy, read_batch())
        except tf.errors.OpError as error:
            if made is None:
                return parts(Choice(False, False, "compilation failed"))
            cause, remedy = _reason(error)
            raise CycleganError(f"XLA cannot compile the training step: {cause}. {remedy}") from error
    return found


def _reason(error: tf.errors.OpError) -> tuple[str, str]:
    """Why a compilation failed, and what to do. TensorFlow reports a cache that is full as an error of compiling."""
    lines = str(error).splitlines()
    if line := next((line for line in lines if "xla_compile_cache" in line), None):
        return (
            f"the cache of compiled code cannot be written, {line.strip()}",
            "Make room there, or set the environment variable CYCLEGAN_XLA_CACHE=off.",
        )
    cause = next((line for line in lines if line.strip() and line != "Graph execution error:"), type(error).__name__)
    return cause, "Use --set training.jit_compile=false."


def _run_once(parts: Parts, strategy: tf.distribute.Strategy, batch: tuple[tf.Tensor, tf.Tensor]) -> None:
    gradients = _on_replicas(parts.gradients, strategy)(*batch)
    _on_replicas(parts.update, strategy)(gradients)


def _on_replicas(function: Callable[..., Any], strategy: tf.distribute.Strategy) -> Callable[..., Any]:
    """The same function, called on every replica, which returns when all devices have finished."""

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def all_replicas(*args: Any) -> Any:
        return strategy.run(function, args=args)

    def run(*args: Any) -> Any:
        result = all_replicas(*args)
        for value in strategy.experimental_local_results(tf.nest.flatten(result.discriminators)[-1]):
            value.numpy()  # waits for the device
        return result

    return run


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _faster(
    state: State,
    config: Config,
    strategy: tf.distribute.Strategy,
    batch: tuple[tf.Tensor, tf.Tensor],
    num_steps: int,
) -> tuple[Parts, Choice]:
    """The faster form of each part, if the run is long enough to find out."""

    def candidate(function: Callable[..., Any], *args: Any) -> _Candidate:
        on_replicas = _on_replicas(function, strategy)
        return _Candidate(function, lambda: on_replicas(*args))

    plain_gradients = candidate(build_gradients(state, config, strategy, jit_compile=False), *batch)
    gradients = plain_gradients.run()  # the first call traces
    plain_update = candidate(build_update(state, config, jit_compile=False), gradients)
    plain_update.run()
    plain = [each.median_seconds() for each in (plain_gradients, plain_update)]
    parts = Parts(plain_gradients.function, plain_update.function)
    if sum(plain) * num_steps < SHORT_RUN_SECONDS:
        return parts, Choice(False, False, f"too short to gain: {num_steps} steps of {sum(plain):.3f} s")
    compiled_gradients = candidate(build_gradients(state, config, strategy, jit_compile=True), *batch)
    compiled_update = candidate(build_update(state, config, jit_compile=True), gradients)
    try:
        compiled_gradients.run()  # compiles
        compiled_update.run()
    except tf.errors.OpError as error:
        return parts, Choice(False, False, f"compilation failed: {_reason(error)[0]}")
    compiled = [each.median_seconds() for each in (compiled_gradients, compiled_update)]
    reason = (
        f"gradients take {compiled[0]:.3f} s compiled and {plain[0]:.3f} s not, the update {compiled[1]:.3f} s and"
        f" {plain[1]:.3f} s"
    )
    choice = Choice(compiled[0] < plain[0], compiled[1] < plain[1], reason)
    return Parts(
        (compiled_gradients if choice.gradients else plain_gradients).function,
        (compiled_update if choice.update else plain_update).function,
    ), choice
