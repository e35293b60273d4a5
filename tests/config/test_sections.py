import pathlib
import re
import types
from typing import Annotated, Literal, Union, get_args, get_origin

import pytest

from cyclegan.config.config import DEFAULTS, SAFE_TO_CHANGE, Config
from cyclegan.config.files import parse_override
from cyclegan.config.sections import MAX_COUNT, MAX_WEIGHT

FIELDS = {
    f"{section}.{key}": field
    for section, model in Config.model_fields.items()
    for key, field in model.annotation.model_fields.items()
}
MEANINGS = {key: " ".join(field.description.split()) for key, field in FIELDS.items()}
GUIDE = (pathlib.Path(__file__).parents[2] / "docs/training.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in GUIDE.splitlines()
    if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 5 and "." in cells[0]
}


def bounds(constraints: list[object]) -> str:
    """The bounds of a number in words. The bounds of 32-bit numbers are not mentioned."""
    limits = {
        name: getattr(one, name) for one in constraints for name in ("ge", "gt", "le", "lt") if hasattr(one, name)
    }
    if limits.get("le") in (MAX_COUNT, MAX_WEIGHT):
        del limits["le"]
    match limits:
        case {"ge": low, "le": high}:
            return f"{low} to {high}"
        case {"ge": low, "lt": high}:
            return f"{low} to below {high}"
        case {"gt": low, "lt": high}:
            return f"above {low} and below {high}"
        case {"ge": low}:
            return f"{low} or more"
        case {"gt": low}:
            return f"above {low}"
    raise AssertionError(f"no words for {limits}")


def values(annotation: object, constraints: list[object] | None = None) -> list[str]:
    """The allowed values of a type in words."""
    constraints = constraints or []
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        for one in more:
            constraints = constraints + list(getattr(one, "metadata", [one]))
        return values(inner, constraints)
    if origin is Literal:
        return [str(value) for value in get_args(annotation)]
    if origin in (Union, types.UnionType):
        return [word for one in get_args(annotation) for word in values(one)]
    if annotation in (int, float):
        return [bounds(constraints)]
    words = {bool: ["true", "false"], str: ["text"], type(None): ["null"], tuple[float, float]: ["[low, high]"]}
    return words[annotation]


def values_of_field(key: str) -> str:
    return ", ".join(values(FIELDS[key].annotation, list(FIELDS[key].metadata)))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("generator.num_levels", "2 to 16"),
        ("generator.dropout", "0 to below 1"),
        ("optimizer.epsilon", "above 0"),
        ("losses.r1_weight", "0 or more"),
        ("training.steps", "1 or more, null"),
        ("training.jit_compile", "auto, true, false"),
        ("data.channels_a", "1, 3, 4"),
        ("data.value_range", "[low, high], null"),
        ("data.domain_a", "text, null"),
        ("generator.affine", "true, false, null"),
    ],
)
def test_allowed_values_are_read_from_the_types(key: str, expected: str) -> None:
    assert values_of_field(key) == expected


def test_table_in_the_guide_has_every_key_in_order() -> None:
    assert list(ROWS) == list(DEFAULTS)


def test_table_in_the_guide_has_the_defaults() -> None:
    written = {key: re.sub(r"(?<=\d),(?=\d{3})", "", row[0]) for key, row in ROWS.items()}
    assert {key: parse_override(f"{key}={text}")[1] for key, text in written.items()} == DEFAULTS


def test_table_in_the_guide_has_the_allowed_values() -> None:
    assert {key: row[1] for key, row in ROWS.items()} == {key: values_of_field(key) for key in FIELDS}


def test_table_in_the_guide_has_the_meanings() -> None:
    assert {key: row[2] for key, row in ROWS.items()} == MEANINGS


def test_table_in_the_guide_marks_what_a_continued_run_may_change() -> None:
    assert {key for key, row in ROWS.items() if row[3]} == SAFE_TO_CHANGE


@pytest.mark.parametrize("key", MEANINGS)
def test_meaning_is_one_sentence(key: str) -> None:
    assert MEANINGS[key].endswith(".") and not re.search(r"\. [A-Z]", MEANINGS[key])


@pytest.mark.parametrize("key", [key for key, field in FIELDS.items() if type(None) in get_args(field.annotation)])
def test_meaning_says_what_null_does(key: str) -> None:
    assert "null means" in MEANINGS[key]
