"""The configuration of a run: what may be set, and what it means.

The defaults are the recipe of Zhu et al. 2017 as its PyTorch implementation trains it.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

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


def image_dtype(precision: str) -> str:
    """The dtype of images, scores and losses: float64 stays, at any other precision of the networks it is float32."""
    return "float64" if precision == "float64" else "float32"


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
            raise ValueError(one_line(problems))
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


def one_line(problems: Iterable[str]) -> str:
    """Problems in one line, whatever line breaks a user's own keys and paths contain."""
    return " ".join("; ".join(problems).replace(".; ", "; ").split())
