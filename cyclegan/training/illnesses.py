"""What can ail a training, how it is known, and what to try.

The thresholds lie far from what healthy runs have shown; docs/evaluation.md has the table. An illness counts only if it
is seen in several examinations one after the other, because a training may look ill for a moment, and early on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

Findings = Mapping[str, float]
"""What an examination found: symptoms by names such as `ab/grid`, and means of the metrics since the one before."""


class Illness(NamedTuple):
    """An illness that a run can have in a direction or in a domain.

    Attributes:
        is_seen: whether the findings show it, given those of all examinations before. The third argument is the
            direction, "ab" or "ba".
        examinations: in how many of them one after the other it must be seen.
        text: what is wrong, where {source}, {target} and {direction} are filled in.
        remedy: what to try.
    """

    is_seen: Callable[[Findings, Sequence[Findings], str], bool]
    examinations: int
    text: str
    remedy: str


def _symptom(name: str, is_ill: Callable[[float], bool]) -> Callable[[Findings, Sequence[Findings], str], bool]:
    def is_seen(found: Findings, before: Sequence[Findings], direction: str) -> bool:
        value = found.get(f"{direction}/{name}")  # what another version has found may lack it
        return value is not None and is_ill(value)

    return is_seen


def _judge(is_ill: Callable[[float], bool]) -> Callable[[Findings, Sequence[Findings], str], bool]:
    """A rule for the loss of the discriminator of the target domain, as a part of what guessing would cost."""
    return lambda found, before, direction: is_ill(found.get(f"{direction}/discriminator", 0.5))


def _cycle_rises(found: Findings, before: Sequence[Findings], direction: str) -> bool:
    """Whether the cycle loss is twice what it was at its best."""
    losses = [each[f"{direction}/cycle"] for each in before if f"{direction}/cycle" in each]
    return bool(losses) and found.get(f"{direction}/cycle", 0.0) > 2 * min(losses)


ILLNESSES = {
    "inverted colours": Illness(
        _symptom("correlation", lambda value: value < -0.2),
        3,
        "bright and dark are exchanged in the translations {direction}",
        "raise losses.identity_weight, or start again with another training.seed",
    ),
    "copies": Illness(
        _symptom("change", lambda value: value < 0.01),
        10,
        "the translations {direction} equal their inputs",
        "set losses.identity_weight=0, then lower the cycle weights",
    ),
    "constant output": Illness(
        _symptom("contrast", lambda value: value < 0.03),
        3,
        "the translations {direction} have hardly any contrast",
        "lower optimizer.learning_rate, and look whether the images are read as they should be (data.value_range)",
    ),
    "saturated output": Illness(
        _symptom("saturation", lambda value: value > 0.3),
        3,
        "a large part of the translations {direction} is at an end of the range of values",
        "lower optimizer.learning_rate",
    ),
    "mode collapse": Illness(
        _symptom("variety", lambda value: value < 0.05),
        3,
        "the translations {direction} of different images are alike",
        "raise the cycle weight of domain {source}, lower optimizer.learning_rate, or raise training.pool_size",
    ),
    "hidden code": Illness(
        _symptom("sensitivity", lambda value: value > 5),
        3,
        "the way back from {target} lives on faint patterns that the translations {direction} hide: a little noise"
        " destroys it",
        "lower the cycle weight of domain {source}, or train with more images",
    ),
    "grid": Illness(
        _symptom("grid", lambda value: value > 0.06),
        5,
        "the translations {direction} have a regular grid",
        "it often fades; in a new run generator.upsampling=nearest and generator.downsampling=blur make it weaker",
    ),
    "discriminator won": Illness(
        _judge(lambda value: value < 0.05),
        5,
        "discriminator {target} tells all translations from real images, and its loss is near 0",
        "use more images or look for what gives them away, such as sizes or borders; losses.label_smoothing=0.1 or"
        " losses.r1_weight can hold it back",
    ),
    "discriminator lost": Illness(
        _judge(lambda value: value > 0.99),
        5,
        "discriminator {target} guesses: real images and translations are the same to it",
        "set discriminator.filters or discriminator.num_layers higher, or look whether the domains differ at all",
    ),
    "rising cycle loss": Illness(
        _cycle_rises,
        3,
        "the loss of the cycle that begins with {source} is twice what it was at its best",
        "lower optimizer.learning_rate, or raise the cycle weight of domain {source}",
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
            recent = range(len(history) - illness.examinations, len(history))
            if recent.start >= 0 and all(
                illness.is_seen(history[index], history[:index], direction) for index in recent
            ):
                words = {"source": source, "target": target, "direction": f"{source} to {target}"}
                found[f"{name} {direction}"] = illness._replace(
                    text=illness.text.format(**words), remedy=illness.remedy.format(**words)
                )
    return found


def count_healthy(history: Sequence[Findings]) -> int:
    """How many examinations came before the first sign of an illness that the last one shows."""
    healthy = len(history)
    for name in diagnose(history):
        kind, _, direction = name.rpartition(" ")
        first = len(history)
        while first and ILLNESSES[kind].is_seen(history[first - 1], history[: first - 1], direction):
            first -= 1
        healthy = min(healthy, first)
    return healthy


def count_unsuspected(history: Sequence[Findings]) -> int:
    """How many examinations there are up to the last one that shows no sign of any illness."""
    for number in range(len(history), 0, -1):
        found, before = history[number - 1], history[: number - 1]
        if not any(ill.is_seen(found, before, way) for ill in ILLNESSES.values() for way in ("ab", "ba")):
            return number
    return 0
