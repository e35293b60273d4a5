"""Reading and writing a configuration: presets, YAML files, overrides, and errors that name what is wrong.

A preset or a YAML file changes some of the defaults, and `--set section.key=value` overrides single keys. The result is
stored with the run.
"""

import difflib
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import pydantic
import yaml

from cyclegan.config.config import DEFAULTS, Config, one_line
from cyclegan.errors import UsageError

SCHEMA_VERSION = 1
"""The version of the sections and keys in a file. It rises when a key is renamed or means something else."""


def load_config(source: str | None = None, overrides: Sequence[tuple[str, object]] = ()) -> Config:
    """The configuration that a file and the command line describe together.

    Args:
        source: the name of a preset or the path of a YAML file. None means the defaults.
        overrides: keys of the form "section.key" with their values. They override the source, and a later one overrides
            an earlier one. "training.epochs" alone also clears the "training.steps" of the source, which would be
            stronger, and "data.dataset" clears "data.domain_a" and "data.domain_b" for the same reason.

    Raises:
        UsageError: if anything is wrong; the message names all problems in one line.
    """
    values = {} if source is None else _read_yaml(source)
    problems = []
    keys_given = {key for key, _ in overrides}
    if "training.epochs" in keys_given and "training.steps" not in keys_given:
        overrides = [*overrides, ("training.steps", None)]
    domains = ("data.domain_a", "data.domain_b")
    if "data.dataset" in keys_given:
        if any(dict(overrides).get(key) is not None for key in domains):
            problems.append(
                "give either `data.dataset` (--dataset), or `data.domain_a` and `data.domain_b` (--domain-a and"
                " --domain-b). Received: both."
            )
        overrides = [*overrides, *((key, None) for key in domains)]
    for key, value in overrides:
        section, _, name = key.partition(".")
        if key not in DEFAULTS:
            problems.append(_unknown_key(key))
        elif isinstance(keys := values.setdefault(section, {}), dict):
            keys[name] = value
    try:
        config = Config.model_validate(values)
    except pydantic.ValidationError as error:
        problems += _describe(error)
    if problems:
        raise _refusal(*problems)
    return config


def parse_override(text: str) -> tuple[str, object]:
    """Splits `section.key=value` and reads the value as YAML: 2e-4, true, null, [0, 4095], keep-aspect.

    Raises:
        UsageError: if the key or the "=" is missing, or if the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise _refusal(f"an override must have the form section.key=value. Received: {_short(text)}.")
    try:
        return key.strip(), yaml.load(value, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise _refusal(f"the value of `{key.strip()}` must be valid YAML. Received: {_short(value)}.") from None


def dump_config(config: Config) -> str:
    """YAML with the schema version and every key in the order of the models.

    `load_config` reads it back to an equal configuration.
    """
    content = {"schema_version": SCHEMA_VERSION, **config.model_dump()}
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def preset_names() -> tuple[str, ...]:
    """The names of the presets, sorted."""
    return tuple(sorted(path.stem for path in _preset_folder().glob("*.yaml")))


def preset_path(name: str) -> pathlib.Path:
    """The file of a preset.

    Raises:
        UsageError: if there is no preset of this name.
    """
    return _existing_source(name, _preset_folder() / f"{name}.yaml")


def default_preset(dataset: str) -> str | None:
    """The preset that is made for a data set and has the same name; None if there is none."""
    # A user's folder may have the name of a preset for another data set, such as "smoke".
    is_for_it = dataset in preset_names() and load_config(dataset).data.dataset == dataset
    return dataset if is_for_it else None


def _preset_folder() -> pathlib.Path:
    """The folder of presets: inside the package if it is installed, beside the package in a checkout."""
    package = pathlib.Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if any(installed.glob("*.yaml")) else package.parent / "configs"


def _existing_source(source: str, path: pathlib.Path) -> pathlib.Path:
    if path.exists():
        return path
    presets = preset_names()
    nearest = difflib.get_close_matches(pathlib.Path(source).stem.lower(), presets, n=1)
    question = f"; did you mean `{nearest[0]}`?" if nearest else ""
    raise _refusal(f"`{source}` is neither a preset nor a file{question}; the presets are {', '.join(presets)}")


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 2e-4 as a number and refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a name", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"`{key.value}` is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes texts if `_Loader` would read them as numbers."""


for _yaml in (_Loader, _Dumper):
    _yaml.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )


def _read_yaml(source: str) -> dict[Any, Any]:
    """The mapping of a preset or a file. A section counts as empty if all its keys are commented out."""
    path = preset_path(source) if source in preset_names() else _existing_source(source, pathlib.Path(source))
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise _refusal(f"{path} cannot be read: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _refusal(f"{path}{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _refusal(f"{path}: not valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise _refusal(f"{path} must hold sections with keys, like `training:`. Received: {_short(values)}.")
    _check_schema(path, values.pop("schema_version", SCHEMA_VERSION))
    return {section: {} if keys is None else keys for section, keys in values.items()}


def _check_schema(path: pathlib.Path, version: object) -> None:
    if type(version) is not int or version < 1:
        raise _refusal(
            f"{path}: `schema_version` must be a whole number from 1 to {SCHEMA_VERSION}. Received: {_short(version)}."
        )
    if version > SCHEMA_VERSION:
        raise _refusal(
            f"{path} has the schema version {version}, but this version of cyclegan reads configurations up to"
            f" {SCHEMA_VERSION}. Update cyclegan."
        )


def _describe(error: pydantic.ValidationError) -> list[str]:
    """One line for each key that is wrong."""
    problems = []
    expected: dict[str, list[str]] = {}
    received: dict[str, str] = {}
    for detail in error.errors():
        # After section and key, a location holds the index in a list, or the name of one of several types.
        location = detail["loc"]
        key = ".".join(str(part) for part in location[:2] + tuple(p for p in location[2:] if isinstance(p, int)))
        text = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        if not location:
            problems.append(text)
        elif detail["type"] in ("extra_forbidden", "invalid_key"):
            problems.append(_unknown_key(key))
        elif len(location) == 1:
            problems.append(f"`{key}` must be a section with keys. Received: {_short(detail['input'])}.")
        else:
            expected.setdefault(key, []).append(text)
            received[key] = _short(detail["input"])
    for key, texts in expected.items():
        nullable = ["null"] if DEFAULTS.get(key, 0) is None else []
        alternatives = " or ".join([texts[0], *(text.removeprefix("must be ") for text in texts[1:] + nullable)])
        problems.append(f"`{key}` {alternatives}. Received: {received[key]}.")
    return problems


def _unknown_key(key: str) -> str:
    sections = list(Config.model_fields)
    section, _, name = key.lower().rpartition(".")
    if key in sections:
        return f"`{key}` is a section; set one of its keys"

    def likeness(known: str) -> tuple[float, float]:
        """How similar the names are, then how similar the sections are."""
        known_section, _, known_name = known.rpartition(".")
        ratios = [
            difflib.SequenceMatcher(None, a, b).ratio() for a, b in ((name, known_name), (section, known_section))
        ]
        return ratios[0], ratios[1]

    nearest = max([*DEFAULTS, *([] if section else sections)], key=likeness)
    if likeness(nearest)[0] >= 0.6:
        return f"unknown key `{key}`; did you mean `{nearest}`?"
    if section in sections:
        names = [known.rpartition(".")[2] for known in DEFAULTS if known.startswith(f"{section}.")]
        return f"unknown key `{key}`; the keys of `{section}` are {', '.join(names)}"
    return f"unknown key `{key}`; the sections are {', '.join(sections)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _refusal(*problems: str) -> UsageError:
    return UsageError(one_line(problems))


def as_yaml(value: object) -> str:
    """A value as a configuration file has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
