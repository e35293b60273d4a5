"""The configuration of a run: what may be set, what it means, and how it is read and written.

The defaults are the recipe of Zhu et al. 2017 as its PyTorch implementation trains it. A YAML file or a
preset changes some of them, `--set section.key=value` changes more, and the result is stored with the run.
"""

import difflib
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field

from cyclegan.errors import UsageError

MAX_COUNT = 2**31 - 1
"""The largest whole number taken: TensorFlow's shapes and seeds are 32 bits wide."""

Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
CountOrZero = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
Channels = Literal[1, 3, 4]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class DataConfig(_Section):
    """Where the images are, and what is done to them before a network sees them."""

    dataset: Text = "stripes"
    """Name of a data set, or a folder with trainA and trainB."""
    domain_a: Text | None = None
    """Folder of domain A; with domain_b it takes the place of the data set, which is then only a label."""
    domain_b: Text | None = None
    """Folder of domain B."""
    test_fraction: Fraction = 0.1
    """Part of domain_a and domain_b that is kept for testing."""
    load_size: Count = 286
    """Pixels to which images are resized before the crop."""
    crop_size: Count = 256
    """Pixels of the random square crop that the networks see."""
    resize: Literal["stretch", "keep-aspect", "none"] = "stretch"
    """To a square of load_size, the shorter side to load_size, or not at all."""
    flip: bool = True
    """Mirror half of the training images, at random."""
    value_range: tuple[float, float] | None = None
    """Pixel values that become -1 and 1, the same for all images; null: the range of the file's type."""
    channels_a: Channels = 3
    """Channels of domain A: 1 grey, 3 RGB, 4 RGB and alpha."""
    channels_b: Channels = 3
    """Channels of domain B."""
    max_bad_images: CountOrZero = 10
    """Images found broken during the run that are replaced before it gives up."""
    max_pixels: Count = 100_000_000
    """Images with more pixels, width times height, are refused before they are decoded."""

    @pydantic.field_validator("value_range", mode="before")
    @classmethod
    def _two_numbers(cls, value: object) -> object:
        """YAML has lists only, which strict validation would not take for a tuple."""
        if value is None:
            return None
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise ValueError("must be two numbers [low, high]")
        return tuple(value)


class GeneratorConfig(_Section):
    """The network that translates an image into the other domain; both directions are built alike."""

    architecture: Literal["resnet"] = "resnet"
    """Family of the network."""
    filters: Count = 64
    """Channels after the first convolution."""
    num_blocks: Count = 9
    """Residual blocks; the reference takes 9 from 256 pixels, 6 below."""


class DiscriminatorConfig(_Section):
    """The network that tells real images from translated ones; both domains have one alike."""

    architecture: Literal["patch"] = "patch"
    """Family of the network."""
    filters: Count = 64
    """Channels after the first convolution."""
    num_layers: Annotated[int, Field(ge=1, le=5)] = 3
    """Strided convolutions; with 3 each score judges 70x70 pixels."""


class LossesConfig(_Section):
    """What the generators are trained for, and how much each goal weighs."""

    adversarial: Literal["lsgan"] = "lsgan"
    """Form of the adversarial loss."""
    cycle_weight_a: Weight = 10.0
    """Weight of the cycle A -> B -> A."""
    cycle_weight_b: Weight = 10.0
    """Weight of the cycle B -> A -> B."""
    identity_weight: Weight = 0.5
    """Weight of the identity loss, relative to the cycle weight of the same domain; 0 leaves it out."""


class OptimizerConfig(_Section):
    """How gradients change the weights; generators and discriminators have an optimizer each, alike."""

    name: Literal["adam"] = "adam"
    """Adam, with epsilon after the bias correction."""
    learning_rate: Positive = 2e-4
    """Learning rate before any decay."""
    beta_1: Fraction = 0.5
    """Decay of the running mean of the gradients."""
    beta_2: Fraction = 0.999
    """Decay of the running mean of the squared gradients."""
    epsilon: Positive = 1e-8
    """Added to the root of the squared mean, so that the division stays finite."""
    schedule: Literal["linear", "constant"] = "linear"
    """Linear decay over the last decay_epochs, or none."""


class TrainingConfig(_Section):
    """How long a run is, how it computes, and what it writes."""

    batch_size: Count = 1
    """Images of each domain in a step, on each replica."""
    epochs: Count = 200
    """Length of the run; an epoch shows each image of the larger domain once."""
    steps: Count | None = None
    """Length of the run in steps, whatever epochs says."""
    decay_epochs: CountOrZero | None = None
    """Epochs at the end over which the learning rate decays; null: the second half."""
    pool_size: CountOrZero = 50
    """Translated images kept for the discriminators, for each domain and replica; 0: none."""
    jit_compile: Literal["auto"] | bool = "auto"
    """Compile the step with XLA; auto: where that is faster."""
    precision: Literal["float32", "float64", "mixed_bfloat16"] = "float32"
    """Precision in which the networks compute."""
    deterministic: bool = False
    """The same bits in every run, at some cost of speed."""
    seed: CountOrZero = 0
    """Seed of the weights, the order of the images, crops, flips and pools."""
    steps_per_call: Literal["auto"] | Count = "auto"
    """Steps between two returns to Python; the results do not depend on it."""
    checkpoint_every_steps: Count = 1000
    """Steps between checkpoints."""
    keep_checkpoints: Count = 3
    """How many of the newest checkpoints are kept."""
    log_every_steps: Count = 50
    """Steps between scalars in TensorBoard."""
    sample_every_steps: Count = 500
    """Steps between image grids in TensorBoard."""
    num_samples: Count = 4
    """Test images of each domain in a grid."""


class Config(_Section):
    """All of a run's configuration; immutable, and valid once it exists."""

    data: DataConfig = DataConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    losses: LossesConfig = LossesConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()

    @pydantic.model_validator(mode="after")
    def _keys_agree(self) -> "Config":
        if problems := list(_contradictions(self)):
            raise ValueError(_one_line(problems))
        return self


def _contradictions(config: Config) -> Iterator[str]:
    data, losses, training = config.data, config.losses, config.training
    if (data.domain_a is None) != (data.domain_b is None):
        yield (
            "`data.domain_a` and `data.domain_b` must be given together. "
            f"Received: domain_a={data.domain_a}, domain_b={data.domain_b}."
        )
    if data.value_range and data.value_range[0] >= data.value_range[1]:
        yield f"`data.value_range` must be [low, high] with low < high. Received: {list(data.value_range)}."
    if data.resize != "none" and data.crop_size > data.load_size:
        yield (
            "`data.crop_size` must be at most `data.load_size`. "
            f"Received: crop_size={data.crop_size}, load_size={data.load_size}."
        )
    if data.crop_size % 4:
        yield (
            "`data.crop_size` must be a multiple of 4, because the generator halves it twice. "
            f"Received: crop_size={data.crop_size}."
        )
    num_layers = config.discriminator.num_layers
    min_crop_size = _min_crop_size(num_layers)
    if data.crop_size < min_crop_size:
        yield (
            f"`data.crop_size` must be at least {min_crop_size} for {num_layers} discriminator layers. "
            f"Received: crop_size={data.crop_size}, num_layers={num_layers}."
        )
    if losses.identity_weight > 0 and data.channels_a != data.channels_b:
        yield (
            "`data.channels_a` and `data.channels_b` must be equal for an identity loss. "
            f"Received: channels_a={data.channels_a}, channels_b={data.channels_b}, "
            f"identity_weight={losses.identity_weight}; set losses.identity_weight=0."
        )
    if training.decay_epochs is not None and training.decay_epochs > training.epochs:
        yield (
            "`training.decay_epochs` must be at most `training.epochs`. "
            f"Received: decay_epochs={training.decay_epochs}, epochs={training.epochs}."
        )


def _min_crop_size(num_layers: int) -> int:
    """Smallest size that both networks take.

    Each of the discriminator's layers halves the size and its last two convolutions take one pixel each,
    which must leave one score. The generator reflects one pixel of a quarter of the size: at least two.
    """
    return max(3 * 2**num_layers, 8)


def _flat(config: Config) -> dict[str, object]:
    """Values under their dotted keys, in the order of the models."""
    sections = config.model_dump().items()
    return {f"{section}.{key}": value for section, keys in sections for key, value in keys.items()}


DEFAULTS = _flat(Config())
"""Every key that can be set, dotted, with its default."""

SAFE_TO_CHANGE = frozenset(
    {
        "data.max_bad_images",
        "training.epochs",
        "training.steps",
        "training.decay_epochs",
        "training.steps_per_call",
        "training.checkpoint_every_steps",
        "training.keep_checkpoints",
        "training.log_every_steps",
        "training.sample_every_steps",
        "training.num_samples",
    }
)
"""Keys that may change when a run continues: its length, and what it writes."""


def changed_keys(old: Config, new: Config) -> dict[str, tuple[object, object]]:
    """Dotted keys whose values differ, each with its old and its new value."""
    before, after = _flat(old), _flat(new)
    return {key: (before[key], after[key]) for key in before if before[key] != after[key]}


def load_config(source: str | None = None, overrides: Sequence[tuple[str, object]] = ()) -> Config:
    """The configuration that a file and the command line describe together.

    Args:
        source: name of a preset, or path of a YAML file; None: the defaults.
        overrides: dotted keys with values, stronger than the source; of equal keys the last one counts.

    Raises:
        UsageError: all that is wrong, in one line.
    """
    values = {} if source is None else _read_yaml(source)
    problems = []
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
    """Key and value of `section.key=value`, the value read as YAML: 2e-4, true, null, [0, 4095], keep-aspect.

    Raises:
        UsageError: if there is no key, no "=", or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise _refusal(f"an override must have the form section.key=value. Received: {_short(text)}.")
    try:
        return key.strip(), yaml.load(value, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise _refusal(f"the value of `{key.strip()}` must be valid YAML. Received: {_short(value)}.") from None


def dump_config(config: Config) -> str:
    """YAML with every key, in the order of the models; `load_config` reads an equal configuration back."""
    return yaml.dump(config.model_dump(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def preset_names() -> tuple[str, ...]:
    """Names that `--config` takes, sorted."""
    return tuple(sorted(path.stem for path in _preset_folder().glob("*.yaml")))


def preset_path(name: str) -> pathlib.Path:
    """The file of a preset.

    Raises:
        UsageError: if there is none of this name.
    """
    return _existing_source(name, _preset_folder() / f"{name}.yaml")


def default_preset(dataset: str) -> str | None:
    """The preset made for a data set, which has its name; None where the defaults will do."""
    # A user's folder may be called like a preset for something else ("smoke").
    is_for_it = dataset in preset_names() and load_config(dataset).data.dataset == dataset
    return dataset if is_for_it else None


def _preset_folder() -> pathlib.Path:
    """Beside the modules where the package is installed, beside the package in a checkout."""
    package = pathlib.Path(__file__).resolve().parent
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
    """SafeLoader that reads 2e-4 as a number, and refuses a key given twice instead of taking the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a name", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"`{key.value}` is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes the texts which `_Loader` would read as numbers."""


for _yaml in (_Loader, _Dumper):
    _yaml.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )


def _read_yaml(source: str) -> dict:
    """The mapping of a preset or a file. A section of which every key is commented out counts as empty."""
    path = preset_path(source) if source in preset_names() else _existing_source(source, pathlib.Path(source))
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise _refusal(f"cannot read {path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _refusal(f"{path}{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _refusal(f"{path}: not valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise _refusal(f"{path} must hold sections with keys, like `training:`. Received: {_short(values)}.")
    return {section: {} if keys is None else keys for section, keys in values.items()}


def _describe(error: pydantic.ValidationError) -> list[str]:
    """One line for each key that is wrong."""
    problems = []
    expected: dict[str, list[str]] = {}
    received: dict[str, str] = {}
    for detail in error.errors():
        # Past section and key, a location is the index in a list, or the name of one of several types.
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
        """Of the names, then of the sections."""
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
    return UsageError(_one_line(problems))


def _one_line(problems: Iterable[str]) -> str:
    """Problems in one line, whatever line breaks a user's own keys and paths contain."""
    return " ".join("; ".join(problems).replace(".; ", "; ").split())
