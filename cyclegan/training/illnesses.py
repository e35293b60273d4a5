"""What can ail a training, how it is known, and what to try.

The thresholds lie far from what healthy runs have shown; docs/evaluation.md has the table. An illness counts only if it
is seen in several examinations one after the other, because a training may look ill for a moment, and early on. Those
that say nothing of it do not count, such as one by an earlier version.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

Findings = Mapping[str, float]
"""What an examination found: symptoms by names such as `ab/grid`, and means of the metrics since the one before."""


Rule = Callable[[Findings, Sequence[Findings], str], bool | None]
"""Whether findings show an illness, given those of all examinations before; None if they do not say.

The third argument is the direction, "ab" or "ba".
"""


class Illness(NamedTuple):
    """An illness that a run can have in a direction or in a domain.

    Attributes:
        is_seen: says whether it is there.
        examinations: in how many of them one after the other it must be seen, of those that say something of it.
        text: what is wrong, where {source}, {target} and {direction} are filled in.
        remedy: what to try.
    """

    is_seen: Rule
    examinations: int
    text: str
    remedy: str


def _value(name: str, is_ill: Callable[[float], bool]) -> Rule:
    """A rule for one number. That of a discriminator is its loss, as a part of what guessing would cost."""

    def is_seen(found: Findings, before: Sequence[Findings], direction: str) -> bool | None:
        value = found.get(f"{direction}/{name}")
        return None if value is None else is_ill(value)

    return is_seen


SMALL_CYCLE = 0.1
"""A cycle loss that was below this counts as this: that of networks that begin as copies must rise."""


def _cycle_rises(found: Findings, before: Sequence[Findings], direction: str) -> bool | None:
    """Whether the cycle loss is twice what it was at its best."""
    name = f"{direction}/cycle"
    if name not in found:
        return None
    best = min((each[name] for each in before if name in each), default=found[name])
    return found[name] > 2 * max(best, SMALL_CYCLE)


ILLNESSES = {
    "spoiled output": Illness(
        _value("spoiled", lambda value: value > 0),
        1,
        "a part of the translations {direction}, or of the way back, is not finite",
        "lower optimizer.learning_rate, or start a new run with training.precision=float32",
    ),
    "inverted colours": Illness(
        _value("correlation", lambda value: value < -0.2),
        3,
        "bright and dark are exchanged in the translations {direction}",
        "start a new run with another training.seed, or with a higher losses.identity_weight",
    ),
    "copies": Illness(
        _value("change", lambda value: value < 0.01),
        10,
        "the translations {direction} equal their inputs",
        "start a new run with losses.identity_weight=0, or with lower cycle weights",
    ),
    "constant output": Illness(
        _value("contrast", lambda value: value < 0.03),
        3,
        "the translations {direction} have hardly any contrast",
        "lower optimizer.learning_rate, and look whether the images are read as they should be (data.value_range)",
    ),
    "saturated output": Illness(
        _value("saturation", lambda value: value > 0.3),
        3,
        "a large part of the translations {direction} is at an end of the range of values",
        "lower optimizer.learning_rate",
    ),
    "mode collapse": Illness(
        _value("variety", lambda value: value < 0.05),
        3,
        "the translations {direction} of different images are alike",
        "lower optimizer.learning_rate, or start a new run with a higher cycle weight of domain {source} or a larger"
        " training.pool_size",
    ),
    "hidden code": Illness(
        _value("sensitivity", lambda value: value > 5),
        3,
        "the way back from {target} lives on faint patterns that the translations {direction} hide: a little noise"
        " destroys it",
        "start a new run with a lower cycle weight of domain {source}, or with more images",
    ),
    "grid": Illness(
        _value("grid", lambda value: value > 0.06),
        5,
        "the translations {direction} have a regular grid",
        "it often fades; in a new run generator.upsampling=nearest and generator.downsampling=blur make it weaker",
    ),
    "discriminator won": Illness(
        _value("discriminator", lambda value: value < 0.05),
        5,
        "discriminator {target} tells all translations from real images, and its loss is near 0",
        "look for what gives them away, such as sizes or borders; in a new run more images, losses.label_smoothing=0.1"
        " or losses.r1_weight can hold it back",
    ),
    "discriminator lost": Illness(
        _value("discriminator", lambda value: value > 0.99),
        5,
        "discriminator {target} guesses: real images and translations are the same to it",
        "look whether the domains differ at all; in a new run discriminator.filters or discriminator.num_layers can be"
        " higher",
    ),
    "rising cycle loss": Illness(
        _cycle_rises,
        3,
        "the loss of the cycle that begins with {source} is twice what it was at its best",
        "lower optimizer.learning_rate, or start a new run with a higher cycle weight of domain {source}",
    ),
}
"""The illnesses by their names."""


def diagnose(history: Sequence[Findings]) -> dict[str, Illness]:
    """The illnesses that the last examination shows, by their names and directions, such as "grid ab".

    Args:
        history: what the examinations of a run have found, in their order; at least one.
    """
    found = {}
    for name, illness in ILLNESSES.items():
        for direction, (source, target) in (("ab", "AB"), ("ba", "BA")):
            latest = list(itertools.islice(_signs(history, illness, direction), illness.examinations))
            if len(latest) == illness.examinations and all(is_seen for _, is_seen in latest):
                words = {"source": source, "target": target, "direction": f"{source} to {target}"}
                found[f"{name} {direction}"] = illness._replace(
                    text=illness.text.format(**words), remedy=illness.remedy.format(**words)
                )
    return found


def count_healthy(history: Sequence[Findings]) -> int:
    """How many examinations there are up to the last one before the first sign of an illness that is shown now."""
    healthy = len(history)
    for name in diagnose(history):
        kind, _, direction = name.rpartition(" ")
        signs = _signs(history, ILLNESSES[kind], direction)
        first = healthy + 1
        for number, is_seen in signs:
            if not is_seen:
                healthy = min(healthy, number)
                break
            first = number
        else:  # what came before the first sign says nothing of it
            healthy = min(healthy, first - 1)
    return healthy


def count_unsuspected(history: Sequence[Findings]) -> int:
    """How many examinations there are up to the last one that shows no sign of any illness.

    It says something of all illnesses of which the run has ever known anything.
    """
    known = [
        (illness, way)
        for illness in ILLNESSES.values()
        for way in ("ab", "ba")
        if next(_signs(history, illness, way), None)
    ]
    for number in range(len(history), 0, -1):
        found, before = history[number - 1], history[: number - 1]
        if all(illness.is_seen(found, before, way) is False for illness, way in known):
            return number
    return 0


def _signs(history: Sequence[Findings], illness: Illness, direction: str) -> Iterator[tuple[int, bool]]:
    """The numbers of the examinations that say whether there is an illness, from the last one on, and what they say."""
    for number in range(len(history), 0, -1):
        is_seen = illness.is_seen(history[number - 1], history[: number - 1], direction)
        if is_seen is not None:
            yield number, is_seen
