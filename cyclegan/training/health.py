"""Examines a run now and then, and says in plain words when it is ill."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.config.sections import LossesConfig
from cyclegan.data.sources import Source
from cyclegan.data.views import load_views
from cyclegan.errors import first_line
from cyclegan.evaluation.reading import drawn
from cyclegan.evaluation.symptoms import Probe, measure
from cyclegan.losses import ADVERSARIAL
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.history import Entry, History
from cyclegan.training.hooks import Call, Hook
from cyclegan.training.illnesses import Findings, Illness, count_healthy, count_unsuspected, diagnose
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.reporting.summaries import Summaries

NUM_IMAGES = 8
"""So many training images of each domain are looked at."""

NOISE = 0.02
"""The standard deviation of the noise that a translation must bear, in the range of the images, which is 2."""

PREFIX = "health/"
"""The names of what was found begin with this, in `metrics.jsonl` and in TensorBoard."""

INTERVAL = "interval/"
"""In `metrics.jsonl` the sums since the last examination begin with this, where the run was saved in between."""

Examined = Callable[..., tf.Tensor]
"""A generator, called as a Keras network: with images and `training`."""


class Health(Hook):
    """Examines the generators every so many steps. All processes know whether the run is over.

    `healthy_step` is the last step that was examined before the first sign of the illness that ended the run, 0 if
    there is none, and None if no illness has ended it. `illnesses` has the names of those that the chief sees.

    A run that was killed finds out the same as one that was not: the sums of an interval are noted where it is saved,
    and an examination that was due then is made first. A run that continues although it is ill is examined once more
    before it ends, so that what was changed can help.

    Args:
        config: how often, and what to do.
        cluster: the processes that train together. The chief examines.
        progress: told what is wrong.
        history: what was found before, to which each finding is added.
        examine: finds the symptoms of both directions; None on the other processes.
        summaries: the TensorBoard events; None on the other processes.
    """

    def __init__(
        self,
        config: Config,
        cluster: Cluster,
        progress: Progress,
        history: History,
        examine: Callable[[], dict[str, float]] | None,
        summaries: Summaries | None,
    ):
        self._config, self._cluster, self._progress, self._history = config, cluster, progress, history
        self._examine, self._summaries = examine, summaries
        self.healthy_step: int | None = None
        self.illnesses = set(diagnose(self._findings()))
        self._last_call: Call | None = None
        step = history.first_step
        is_examined = any(entry.step == step for entry in self._examinations())
        self._losses = _Sums(config.losses, {} if is_examined else _interval_at(history, step))
        if step and step % config.health.every_steps == 0:  # the session before was killed, or never came to it
            self._look(step, is_due=not is_examined)

    def at_checkpoint(self, call: Call) -> None:
        """Notes the sums of the interval up to `call`, which `after_call` is told of later."""
        if self._examine and not _interval_at(self._history, call.step):
            self._add(call)
            sums = {f"{INTERVAL}{name}": value for name, value in self._losses.content().items()}
            self._history.add(Entry(call.step, sums))

    def at_end(self, call: Call) -> None:
        """Does the same: the run may be continued."""
        self.at_checkpoint(call)

    def after_call(self, call: Call) -> None:
        """Examines the run where it is due."""
        self._add(call)
        if call.step % self._config.health.every_steps == 0:
            self._look(call.step)

    def _add(self, call: Call) -> None:
        if call is not self._last_call:
            self._losses.add(call)
            self._last_call = call

    def _look(self, step: int, is_due: bool = True) -> None:
        """Examines the run on the chief, and acts on all processes."""
        ill: dict[str, Illness] = {}
        if self._examine and is_due:
            try:
                # A run of an earlier version can come without the sums of the interval.
                is_whole = self._losses.num_steps >= self._config.health.every_steps
                found = self._examine() | (self._losses.means() if is_whole else {})
            except Exception as error:  # whatever it is, it must not cost the training
                self._progress.line(f"The run cannot be examined at step {step}: {first_line(error)} It goes on.")
            else:
                self._note(step, found)
            ill = diagnose(self._findings())
            self._warn(step, ill)
        self._losses = _Sums(self._config.losses)
        self._act(ill)

    def unsuspected_step(self) -> int:
        """The last step that was examined without a sign of any illness; 0 if there is none."""
        number = count_unsuspected(self._findings())
        return self._examinations()[number - 1].step if number else 0

    def _note(self, step: int, found: Findings) -> None:
        self._history.add(Entry(step, {f"{PREFIX}{name}": value for name, value in found.items()}))
        if self._summaries:
            self._summaries.scalars(step, self._history.entries[-1].values)

    def _act(self, ill: Mapping[str, Illness]) -> None:
        """Ends the run on all processes if it is ill and should then not go on as it is."""
        action = self._config.health.action
        if action == "warn":
            return
        healthy = count_healthy(self._findings()) if ill else 0
        own = [len(ill), self._examinations()[healthy - 1].step if healthy else 0]
        count, healthy_step = self._cluster.sum(own if self._cluster.is_chief else [0, 0])
        if count:
            self.is_over, self.is_spoiled, self.healthy_step = True, action == "rollback", healthy_step

    def _examinations(self) -> list[Entry]:
        return [entry for entry in self._history.entries if any(name.startswith(PREFIX) for name in entry.values)]

    def _findings(self) -> list[Findings]:
        """What all examinations have found, in their order."""
        return [
            {name.removeprefix(PREFIX): value for name, value in entry.values.items()} for entry in self._examinations()
        ]

    def _warn(self, step: int, ill: dict[str, Illness]) -> None:
        """Says what is new. What was said before and is still so is not said again."""
        for name in [name for name in ill if name not in self.illnesses]:
            illness = ill[name]
            self._progress.line(f"Step {step}, {name}: {illness.text}. To try: {illness.remedy}.")
            if self._summaries:
                self._summaries.note(step, f"health/{name}", f"{illness.text}. To try: {illness.remedy}.")
        for name in sorted(self.illnesses - ill.keys()):
            self._progress.line(f"Step {step}: {name} is no longer seen.")
        self.illnesses = set(ill)


class _Sums:
    """Sums of the losses that the illnesses ask for, over the steps that were taken.

    Args:
        losses: the form of the adversarial loss, which says what guessing costs a discriminator, and the weights of the
            cycles.
        start: the content that the sums begin with; those that it lacks begin at 0.
    """

    def __init__(self, losses: LossesConfig, start: Mapping[str, float] | None = None):
        guess, weights = ADVERSARIAL[losses.adversarial].guess, (losses.cycle_weight_a, losses.cycle_weight_b)
        cycles = zip(("ab", "ba"), weights, strict=True)
        self._tags = {f"{way}/cycle": (f"loss/generator_{way}/cycle", weight) for way, weight in cycles if weight}
        if guess:
            self._tags |= {f"{way}/discriminator": (f"loss/discriminator_{way[1]}", guess) for way in ("ab", "ba")}
        start = start or {}
        self._sums = {name: start.get(name, 0.0) for name in self._tags}
        self._num_taken, self.num_steps = int(start.get("taken", 0)), int(start.get("steps", 0))

    def add(self, call: Call) -> None:
        """Adds the steps of a call."""
        is_taken = [step not in call.skipped for step in range(call.step - call.num_steps + 1, call.step + 1)]
        self.num_steps += call.num_steps
        self._num_taken += sum(is_taken)
        for name, (tag, unit) in self._tags.items():
            self._sums[name] += float(call.metrics[tag][is_taken].sum()) / unit

    def content(self) -> dict[str, float]:
        """What another object of this kind can begin with."""
        return self._sums | {"taken": float(self._num_taken), "steps": float(self.num_steps)}

    def means(self) -> dict[str, float]:
        """The means, none if no step was taken: cycles without their weights, and parts of what guessing costs."""
        return {name: total / self._num_taken for name, total in self._sums.items()} if self._num_taken else {}


def _interval_at(history: History, step: int) -> dict[str, float]:
    """The sums since the last examination that were noted at a step; none if there are none."""
    values = [entry.values for entry in history.entries if entry.step == step]
    found = {name: value for each in values for name, value in each.items() if name.startswith(INTERVAL)}
    return {name.removeprefix(INTERVAL): value for name, value in found.items()}


def build_examination(
    generator_ab: Examined, generator_ba: Examined, source: Source, config: Config
) -> Callable[[], dict[str, float]] | None:
    """A function that finds the symptoms of both directions on a few training images.

    Args:
        generator_ab: translates domain A to B.
        generator_ba: translates domain B to A.
        source: the training images.
        config: the section `data`, and the seed, which draws the images.

    Returns:
        The function; None if fewer than two images of a domain can be read.
    """
    data, seed = config.data, config.training.seed
    a, b = (
        load_views(drawn(paths, 2 * NUM_IMAGES, seed), NUM_IMAGES, channels, data)
        for paths, channels in ((source.train_a, data.channels_a), (source.train_b, data.channels_b))
    )
    number = min(len(a), len(b))
    return examination_of(generator_ab, generator_ba, a[:number], b[:number]) if number > 1 else None


def examination_of(
    generator_ab: Examined, generator_ba: Examined, real_a: np.ndarray, real_b: np.ndarray
) -> Callable[[], dict[str, float]]:
    """A function that finds the symptoms of both directions on given images.

    Args:
        generator_ab: translates domain A to B.
        generator_ba: translates domain B to A.
        real_a: float32 [n, size, size, channels] in [-1, 1], n at least 2.
        real_b: the same of domain B, with the same n.
    """
    sides = {
        "ab": (_passes(generator_ab, generator_ba), real_a, real_b),
        "ba": (_passes(generator_ba, generator_ab), real_b, real_a),
    }

    def examine() -> dict[str, float]:
        found: dict[str, float] = {}
        for direction, (passes, inputs, targets) in sides.items():
            parts = [passes(image[None]) for image in inputs]  # as much memory as a step
            outputs, cycled, disturbed = (np.concatenate(column) for column in zip(*parts, strict=True))
            symptoms = measure(Probe(inputs, targets, outputs, cycled, disturbed, NOISE))
            found |= {f"{direction}/{name}": value for name, value in symptoms.items()}
        return found

    return examine


def _passes(forward: Examined, back: Examined) -> Callable[[np.ndarray], Sequence[np.ndarray]]:
    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def passes(image: tf.Tensor) -> tuple[tf.Tensor, ...]:
        output = forward(image, training=False)
        noise = tf.random.stateless_normal(output.shape, seed=(0, 0), stddev=NOISE, dtype=output.dtype)
        return output, back(output, training=False), back(output + noise, training=False)

    return lambda image: [tensor.numpy().astype(np.float32) for tensor in passes(image)]
