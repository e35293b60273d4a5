"""The hooks that look at a run and say how it is doing: in the log, in TensorBoard, in pictures and in scores."""

from collections.abc import Callable

from cyclegan.data.batches import ImageReader
from cyclegan.data.sources import Source
from cyclegan.evaluation.validation import Validator
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.bad_steps import BadSteps
from cyclegan.training.evaluator import Evaluator
from cyclegan.training.health import Health, build_examination
from cyclegan.training.history import Entry, History
from cyclegan.training.hooks import Hook
from cyclegan.training.length import Session
from cyclegan.training.reporting.monitor import Monitor
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.reporting.summaries import Summaries
from cyclegan.training.run_directory import Plan
from cyclegan.training.state import State


def build_watchers(
    state: State,
    source: Source,
    plan: Plan,
    session: Session,
    cluster: Cluster,
    readers: tuple[ImageReader, ImageReader],
    progress: Progress,
    validator: Validator | None,
    keep_best: Callable[[Entry], None],
    received: Callable[[], int],
) -> tuple[list[Hook], Health]:
    """Builds the hooks in the order in which they are told what happens, of which one knows whether the run is ill.

    The chief looks at the run. The other processes have the hooks that may end it, or change its learning rate.

    Args:
        state: its generators are looked at.
        source: the images to show, and to examine the generators with.
        plan: the run directory and the configuration.
        session: the steps that are left.
        cluster: the processes that train together.
        readers: know which images a bad step had.
        progress: told what is seen.
        validator: scores the run; None on the other processes, and for a run that is not scored.
        keep_best: see `Evaluator`.
        received: the number of the signal that has asked to stop, 0 if none has.
    """
    folder, config, hooks = plan.folder, plan.config, list[Hook]()
    history = History(folder, session.first_step, progress.line)
    summaries = Summaries(folder, session.first_step, progress.line) if cluster.is_chief else None
    if summaries:
        hooks.append(BadSteps(session, readers, progress))
        hooks.append(Monitor(state, source, plan, progress, session, summaries))
    generators = (state.generator_ab, state.generator_ba)
    examine = build_examination(*generators, source, config) if cluster.is_chief else None
    health = Health(config, cluster, progress, history, examine, summaries)
    hooks.append(health)
    if config.is_scored:
        hooks.append(Evaluator(state, plan, cluster, progress, history, validator, summaries, keep_best, received))
    return hooks, health
