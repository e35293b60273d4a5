"""Scores a run while it trains, keeps its best bundle, and says when it no longer gains."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from cyclegan.bundles.bundle import load_bundle
from cyclegan.config.config import Config
from cyclegan.data.sources import Source
from cyclegan.data.views import load_views
from cyclegan.errors import CycleganError, UsageError, first_line
from cyclegan.evaluation.extractors import choose_extractor
from cyclegan.evaluation.features import Extractor
from cyclegan.evaluation.measuring import MIN_IMAGES
from cyclegan.evaluation.reading import drawn
from cyclegan.evaluation.validation import METRICS, Images, Interrupted, Validator
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.history import HISTORY_FILE, Entry, History, best_of, count_plateaus, count_without_gain, finite
from cyclegan.training.hooks import Call, Hook
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.reporting.summaries import Summaries
from cyclegan.training.run_directory import Plan
from cyclegan.training.securing import Displaced
from cyclegan.training.state import State

SEED = 0
"""It draws what is drawn for the scores. It is not that of the run, so that runs of different seeds can be compared."""


class Evaluator(Hook):
    """Scores the generators where it is due. What fails here costs no training.

    The chief scores, and tells the others what follows from it: the learning rate, and whether the run is over.

    Args:
        state: its learning rate falls with the schedule plateau.
        plan: the run directory and the configuration.
        cluster: the processes that train together.
        progress: told each result.
        history: what was scored before, to which each result is added.
        validator: computes the scores; None on the other processes.
        summaries: the TensorBoard events; None on the other processes.
        keep: writes the bundle of this moment as the best one, with its scores.
        received: the number of the signal that has asked to stop, 0 if none has. An evaluation is then given up.
    """

    def __init__(
        self,
        state: State,
        plan: Plan,
        cluster: Cluster,
        progress: Progress,
        history: History,
        validator: Validator | None,
        summaries: Summaries | None,
        keep: Callable[[Entry], None],
        received: Callable[[], int] = lambda: 0,
    ):
        self._state, self._plan, self._cluster, self._progress = state, plan, cluster, progress
        self._history, self._validator, self._summaries = history, validator, summaries
        self._keep, self._received, self._metric = keep, received, plan.config.evaluation.metric
        if validator and state.rate_factor is not None and history.first_step and not self._comparable():
            progress.line(
                f"There are no scores of the run up to step {history.first_step} in {HISTORY_FILE}, so the learning"
                " rate begins at its full value."
            )
        # Only the chief has bundles: the machines of the other processes need not share its disk.
        if validator and not self._keep_again() and (lost := describe_lost_best(plan.folder, history, self._metric)):
            progress.line(f"{lost} The best one from here on is kept.")
        self._agree()

    def at_evaluation(self, call: Call) -> None:
        """Scores the run, unless it was scored at this step before it was killed."""
        if self._validator and all(entry.step != call.step for entry in self._comparable()):
            try:
                scores = finite(self._validator.scores(lambda: self._received() != 0))
                if self._metric not in scores:
                    raise CycleganError(f"The {self._metric} is not a finite number.")
            except Interrupted:
                pass
            except Exception as error:  # whatever it is, it must not cost the training
                self._progress.line(f"The run cannot be scored at step {call.step}: {first_line(error)} It goes on.")
            else:
                self._note(Entry(call.step, scores, self._validator.protocol))
        self._agree()

    def _comparable(self) -> tuple[Entry, ...]:
        """The scores of the run that may be compared with those of this session."""
        return self._history.scored_by(self._validator.protocol) if self._validator else ()

    def _note(self, entry: Entry) -> None:
        """Writes the bundle if it is the best so far, and the scores wherever they go."""
        before = best_value(self._plan.folder, self._metric, entry.protocol)
        best = best_of((*self._comparable(), entry), self._metric)
        verdict = f"the best so far is {before:.3f}" if before is not None else ""
        if before is None or entry.values[self._metric] < before:
            verdict = "it is kept as the best so far" + (f", which was {before:.3f}" if before is not None else "")
            # The bundle comes first: killed in between, the run is scored once more.
            if failure := self._failure_to_keep(entry):
                which = (
                    "it" if best is entry else f"{best.values[self._metric]:.3f} of step {best.step}" if best else ""
                )
                verdict = f"{which} is the best so far, but it is not kept: {failure.rstrip('.')}"
        self._history.add(entry)
        self._progress.line(f"{_describe(entry, self._metric)}; {verdict}.")
        if self._summaries:
            self._summaries.scalars(entry.step, {f"validation/{name}": each for name, each in entry.values.items()})
            self._summaries.flush()

    def _keep_again(self) -> bool:
        """Writes the best bundle if this step scored best, but it could not be written then."""
        entry = best_of(self._comparable(), self._metric)
        is_now = entry is not None and entry.step == self._history.first_step
        if entry is None or not is_now or not is_unkept(self._plan.folder, entry, self._metric):
            return False
        failure = self._failure_to_keep(entry)
        text = f"is still not kept: {failure}" if failure else "is kept now."
        self._progress.line(f"Step {entry.step}, with {self._metric} {entry.values[self._metric]:.3f} the best, {text}")
        return True

    def _failure_to_keep(self, entry: Entry) -> str:
        """Writes the bundle of this moment as the best one, or says why it cannot be written."""
        try:
            self._keep(entry)
        except Displaced:
            raise
        except Exception as error:  # whatever it is, it must not cost the training
            return str(error) if isinstance(error, CycleganError) else first_line(error)
        return ""

    def _agree(self) -> None:
        """Tells all processes what follows from the scores."""
        config, comparable, patience = self._plan.config, self._comparable(), self._plan.config.evaluation.patience
        plateaus = count_plateaus(comparable, self._metric, config.optimizer.plateau_patience)
        is_over = patience is not None and count_without_gain(comparable, self._metric) >= patience
        plateaus, over = self._cluster.sum([plateaus, int(is_over)] if self._cluster.is_chief else [0, 0])
        was_over, self.is_over = self.is_over, bool(over)
        if self.is_over and not was_over:
            last = "last evaluation was" if patience == 1 else f"last {patience} evaluations were"
            self._progress.line(
                f"The {last} not better than the best one before, so the run ends here, as evaluation.patience asks. It"
                " can be continued with a larger one, or with null."
            )
        if self._state.rate_factor is not None:
            factor = config.optimizer.plateau_factor**plateaus
            if factor != float(self._state.rate_factor.numpy()) and not self.is_over:
                self._progress.line(f"The learning rate is {config.optimizer.learning_rate * factor:.3g} from here on.")
            self._state.rate_factor.assign(factor)


def build_validator(
    state: State,
    source: Source,
    config: Config,
    progress: Progress,
    cache_dir: pathlib.Path | None,
    extractor: Extractor | None = None,
) -> Validator:
    """Reads the validation images, and prepares what scores their translations.

    Args:
        state: its generators, or their averages, are scored.
        source: the validation images, and the training images for the classifier.
        config: the sections `data` and `evaluation`.
        progress: told what takes long.
        cache_dir: the folder in which the classifier is kept; None keeps nothing.
        extractor: the network of `evaluation.features`, if it has been loaded.

    Raises:
        UsageError: if the images or the features cannot be used.
        CycleganError: if the weights of the features cannot be had.
    """
    data, evaluation = config.data, config.evaluation

    def load(paths: Sequence[pathlib.Path], channels: int, is_said: bool = True) -> np.ndarray:
        number, report = evaluation.max_images, progress.line if is_said else lambda line: None
        images = load_views(drawn(paths, number, SEED), number, channels, data, report)
        if len(images) < MIN_IMAGES:
            raise UsageError(
                f"A score needs at least {MIN_IMAGES} validation images of each domain that can be read. Received:"
                f" {len(images)} of {len(paths)} in {paths[0].parent}."
            )
        return images

    a, b = load(source.validation_a, data.channels_a), load(source.validation_b, data.channels_b)
    if data.channels_a == data.channels_b:
        images = Images(a, b, a, b)
    else:
        a_as_b = load(source.validation_a, data.channels_b, is_said=False)
        images = Images(a, b, a_as_b, load(source.validation_b, data.channels_a, is_said=False))
    if extractor is None and evaluation.features:
        extractor = choose_extractor(evaluation.features, source, data, progress.line, SEED, cache_dir)
    validator = Validator(images, *state.translators, extractor, SEED)
    if evaluation.metric not in validator.metrics:
        raise UsageError(
            f"`evaluation.metric` must be one of {', '.join(validator.metrics)} with these features. Received:"
            f" metric={evaluation.metric}, features={evaluation.features}, which know no classes."
        )
    return validator


def best_value(folder: pathlib.Path, metric: str, protocol: str) -> float | None:
    """The metric of the best bundle of a run; None if there is none, or none that was scored by the same protocol."""
    try:
        provenance = load_bundle(folder / "bundle" / "best").info.provenance
    except UsageError:
        return None
    return provenance.validation.get(metric) if provenance.validation_protocol == protocol else None


def is_unkept(folder: pathlib.Path, entry: Entry, metric: str) -> bool:
    """Whether scores are better than those of the best bundle, or there is none."""
    before = best_value(folder, metric, entry.protocol)
    return metric in entry.values and (before is None or entry.values[metric] < before)


def is_settled(folder: pathlib.Path, history: History, step: int, metric: str) -> bool:
    """Whether a run was scored after `step` steps, and the bundle was kept if it was the best."""
    entries = [each for each in history.entries if each.step == step and each.protocol]
    if not entries:
        return False
    entry = entries[-1]  # the others were made in other ways
    return entry != best_of(history.scored_by(entry.protocol), metric) or not is_unkept(folder, entry, metric)


def describe_lost_best(folder: pathlib.Path, history: History, metric: str) -> str | None:
    """A line for a run that was scored, but has no best bundle; None for any other."""
    protocols = [entry.protocol for entry in history.entries if entry.protocol]
    best = best_of(history.scored_by(protocols[-1]), metric) if protocols else None
    path = folder / "bundle" / "best"
    if best is None or path.exists():
        return None
    return f"{path} is missing. Step {best.step} was the best, with {metric} {best.values[metric]:.3f}."


def _describe(entry: Entry, metric: str) -> str:
    parts = [f"{name} {entry.values[name]:.3f}" for name in METRICS if name in entry.values and name != metric]
    others = f" ({', '.join(parts)})" if parts else ""
    return f"Step {entry.step} scores {metric} {entry.values[metric]:.3f} on the validation images{others}"
