"""The configuration of a run: what may be set, and what it means.

The defaults are the recipe of Zhu et al. 2017 as its PyTorch implementation trains it.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

UNET_INNER_LEVEL = 5
"""Levels of a unet from here inwards have eight times the filters of the first, as many as there ever are."""

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


class _NetworkConfig(_Section):
    """What generators and discriminators are built from."""

    architecture: str
    """Family of the network."""
    filters: Count = 64
    """Channels after the first convolution."""
    normalization: Literal["instance", "batch", "group", "layer", "none"] = "instance"
    """Over each image and channel, the batch (of all replicas), groups of channels, whole images, or not at all."""
    affine: bool | None = None
    """Whether a trained scale and offset follow the normalization; null: not after instance, else yes."""
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "sigmoid", "tanh"] | None = None
    """Between the layers; null: relu in resnet, leaky_relu and relu in unet, leaky_relu in discriminators."""
    downsampling: Literal["strided", "max", "average", "stochastic", "blur"] = "strided"
    """Convolution with stride 2, or with stride 1 and a pooling of 2x2 pixels after the activation."""
    dropout: Fraction = 0.0
    """Rate: in each residual block, in the inner levels of a unet, after the hidden layers of a discriminator."""
    l1: Weight = 0.0
    """Weight of the sum of absolute values of the kernels, added to the loss."""
    l2: Weight = 0.0
    """Weight of the sum of squares of the kernels, added to the loss."""
    initializer: Literal["normal", "glorot", "he", "orthogonal"] = "normal"
    """Distribution of the kernels before training."""
    initializer_gain: Positive | None = None
    """Standard deviation of normal, factor of the others; null: 0.02 and 1."""

    @property
    def is_affine(self) -> bool:
        """What `affine` means where it is null."""
        return self.normalization not in ("instance", "none") if self.affine is None else self.affine


class GeneratorConfig(_NetworkConfig):
    """The network that translates an image into the other domain; both directions are built alike."""

    architecture: Literal["resnet", "unet"] = "resnet"
    """Family of the network."""
    num_blocks: Count = 9
    """Residual blocks of a resnet; the reference takes 9 from 256 pixels, 6 below."""
    num_levels: Annotated[int, Field(ge=2, le=16)] = 8
    """Halvings of a unet; the reference takes 8 at 256 pixels, 7 at 128."""
    upsampling: Literal["transposed", "nearest", "bilinear", "subpixel"] = "transposed"
    """Transposed convolution, resize and convolution, or convolution and rearranged channels."""
    padding: Literal["reflect", "replicate", "zero"] = "reflect"
    """Of a resnet's convolutions that keep the size; all others see zeros, as in the reference."""
    output: Literal["tanh", "sigmoid"] = "tanh"
    """Last function; with sigmoid the network sees and makes values in [0, 1], everything around it stays the same."""

    def structure(self) -> dict[str, object]:
        """What decides the shapes of the weights and what the network computes from them after training."""
        unused = {"l1", "l2", "dropout", "initializer", "initializer_gain"}
        unused |= {"num_blocks", "padding"} if self.architecture == "unet" else {"num_levels"}
        return {key: value for key, value in self.model_dump().items() if key not in unused} | {
            "affine": self.is_affine
        }

    @property
    def num_halvings(self) -> int:
        """How often the network halves its image."""
        return self.num_levels if self.architecture == "unet" else 2

    @property
    def size_multiple(self) -> int:
        """Height and width that the network takes are multiples of this."""
        return 2**self.num_halvings

    @property
    def min_size(self) -> int:
        """Smallest height and width: a resnet reflects one pixel of a quarter of the size, a unet ends at one pixel."""
        return max(self.size_multiple, 8)


class DiscriminatorConfig(_NetworkConfig):
    """The network that tells real images from translated ones; both domains have one alike."""

    architecture: Literal["patch", "pixel", "multiscale"] = "patch"
    """Scores of patches, of single pixels, or of patches of the image and of its halves."""
    num_layers: Annotated[int, Field(ge=1, le=5)] = 3
    """Halvings of patch and multiscale, the last layer without; with 3 each score judges 70x70 pixels."""
    num_scales: Literal[2, 3] = 2
    """Networks of multiscale, each for an image of half the size of the one before."""
    spectral_norm: bool = False
    """Divide each kernel by its largest singular value."""


class LossesConfig(_Section):
    """What the networks are trained for, and how much each goal weighs."""

    adversarial: Literal["lsgan", "vanilla", "hinge", "wgan_gp"] = "lsgan"
    """Form of the adversarial loss."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """How far below 1 the discriminators' target for real images is, with lsgan and vanilla."""
    r1_weight: Weight = 0.0
    """Weight of the squared gradient of the scores of real images; 0 leaves it out."""
    r1_every_steps: Count = 1
    """Steps between two such penalties, which then weigh so many times more."""
    cycle_weight_a: Weight = 10.0
    """Weight of the cycle A -> B -> A."""
    cycle_weight_b: Weight = 10.0
    """Weight of the cycle B -> A -> B."""
    identity_weight: Weight = 0.5
    """Weight of the identity loss, relative to the cycle weight of the same domain; 0 leaves it out."""
    identity_every_steps: Count = 1
    """Steps between two identity losses, which then weigh so many times more."""
    identity_fading: bool = False
    """Let the identity weight fall linearly, to 0 at the end of the run."""


class OptimizerConfig(_Section):
    """How gradients change the weights; generators and discriminators have an optimizer each, alike."""

    name: Literal["adam", "adamw", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta"] = "adam"
    """Rule of the update; adam has its epsilon after the bias correction, as the reference."""
    learning_rate: Positive = 2e-4
    """Learning rate before any decay."""
    beta_1: Fraction = 0.5
    """Decay of the running mean of the gradients, in adam and adamw."""
    beta_2: Fraction = 0.999
    """Decay of the running mean of the squared gradients, in adam and adamw."""
    epsilon: Positive = 1e-8
    """Keeps the division by the root of squared gradients finite; not in sgd, momentum and nesterov."""
    momentum: Fraction = 0.9
    """Part of the last update that is kept, in momentum and nesterov."""
    weight_decay: Weight = 0.01
    """Part of the weights that is taken off in each step, times the learning rate, in adamw."""
    schedule: Literal["constant", "linear", "cosine", "step"] = "linear"
    """Linear or cosine decay over the last decay_epochs, a tenth after every step_epochs, or none."""
    step_epochs: Count = 50
    """Epochs between two steps of the schedule of that name."""


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
    ema_decay: Fraction = 0.0
    """Decay of a running average of the generators' weights, which the bundle then holds; 0: none."""
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
    yield from _impossible_sizes(config)
    yield from _impossible_discriminators(config)
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


def _impossible_sizes(config: Config) -> Iterator[str]:
    size, generator, discriminator = config.data.crop_size, config.generator, config.discriminator
    if size % generator.size_multiple or size < generator.min_size:
        yield (
            f"`data.crop_size` must be a multiple of {generator.size_multiple}, at least {generator.min_size}, because"
            f" the {generator.architecture} generator halves it {generator.num_halvings} times."
            f" Received: crop_size={size}"
            + (f", generator.num_levels={generator.num_levels}." if generator.architecture == "unet" else ".")
        )
    if generator.architecture == "unet" and generator.dropout and generator.num_levels < UNET_INNER_LEVEL + 1:
        yield (
            f"`generator.dropout` of a unet acts from level {UNET_INNER_LEVEL} inwards, but for the innermost; it needs"
            f" `generator.num_levels` of at least {UNET_INNER_LEVEL + 1}. Received: num_levels={generator.num_levels}."
        )
    if discriminator.architecture == "pixel":
        return
    num_scales = discriminator.num_scales if discriminator.architecture == "multiscale" else 1
    # Each of the layers halves the size and the last two convolutions take one pixel each, which must leave one score.
    smallest = 3 * 2 ** (discriminator.num_layers + num_scales - 1)
    if size < smallest:
        scales = f" at {num_scales} scales" if num_scales > 1 else ""
        yield (
            f"`data.crop_size` must be at least {smallest} for {discriminator.num_layers} discriminator layers{scales}."
            f" Received: crop_size={size}, num_layers={discriminator.num_layers}."
        )


def _impossible_discriminators(config: Config) -> Iterator[str]:
    losses, normalization = config.losses, config.discriminator.normalization
    if losses.label_smoothing and losses.adversarial not in ("lsgan", "vanilla"):
        yield (
            "`losses.label_smoothing` needs `losses.adversarial` lsgan or vanilla, which have a target."
            f" Received: label_smoothing={losses.label_smoothing}, adversarial={losses.adversarial}."
        )
    if losses.adversarial == "wgan_gp" and losses.r1_weight:
        yield (
            "`losses.r1_weight` must be 0 with `losses.adversarial` wgan_gp, which has a penalty of its own."
            f" Received: r1_weight={losses.r1_weight}."
        )
    if (losses.adversarial == "wgan_gp" or losses.r1_weight) and normalization == "batch":
        yield (
            "A gradient penalty is of one image, so `discriminator.normalization` must not be batch with it. Received:"
            f" normalization={normalization}, adversarial={losses.adversarial}, r1_weight={losses.r1_weight}."
        )
    if config.discriminator.architecture == "pixel" and config.discriminator.downsampling != "strided":
        yield (
            "`discriminator.downsampling` must be strided for the pixel architecture, which never halves the size."
            f" Received: downsampling={config.discriminator.downsampling}."
        )


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
