"""The sections of a configuration: what may be set, and what it means.

The defaults are the recipe of Zhu et al. 2017 as its PyTorch implementation trains it.
"""

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


class Section(BaseModel):
    """A group of keys that refuses unknown keys, other types and changes in place."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class DataConfig(Section):
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


class _NetworkConfig(Section):
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


class LossesConfig(Section):
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


class OptimizerConfig(Section):
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


class TrainingConfig(Section):
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
