"""The sections of a configuration that describe the generators and the discriminators.

The defaults are the recipe of Zhu et al. 2017 as its PyTorch implementation trains it.
"""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from cyclegan.config.sections import Count, Fraction, Positive, Section, Weight

UNET_INNER_LEVEL = 5
"""From this level inwards, each level of a unet has eight times the filters of the first level, which is the most."""


class _NetworkConfig(Section):
    """The keys that generators and discriminators have in common."""

    architecture: str
    """The network belongs to this family."""
    filters: Count = 64
    """The first convolution has this many output channels."""
    normalization: Literal["instance", "batch", "group", "layer", "none"] = "instance"
    """Values are normalized over each image and channel (instance), over the batch of all replicas (batch), over groups
    of channels (group), over whole images (layer), or not at all (none).
    """
    affine: bool | None = None
    """A trained scale and offset follow the normalization; null means that they do unless the normalization is
    instance.
    """
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "sigmoid", "tanh"] | None = None
    """This function follows the hidden layers; null means relu in a resnet, leaky_relu on the way down and relu on the
    way up in a unet, and leaky_relu in a discriminator.
    """
    downsampling: Literal["strided", "max", "average", "stochastic", "blur"] = "strided"
    """The size is halved by a convolution with stride 2 (strided), or by this kind of pooling after a convolution with
    stride 1 and its activation.
    """
    dropout: Fraction = 0.0
    """This part of the values is dropped while training: in each residual block, in the inner levels of a unet, and
    after the hidden layers of a discriminator.
    """
    l1: Weight = 0.0
    """The sum of the absolute values of the kernels is added to the loss with this weight."""
    l2: Weight = 0.0
    """The sum of the squares of the kernels is added to the loss with this weight."""
    initializer: Literal["normal", "glorot", "he", "orthogonal"] = "normal"
    """The kernels are drawn from this distribution before training."""
    initializer_gain: Positive | None = None
    """This is the standard deviation of normal and a factor for the other initializers; null means 0.02 for normal and
    1 for the others.
    """

    @property
    def is_affine(self) -> bool:
        """Whether a trained scale and offset follow the normalization, also where `affine` is null."""
        return self.normalization not in ("instance", "none") if self.affine is None else self.affine


class GeneratorConfig(_NetworkConfig):
    """The network that translates an image into the other domain; both directions have the same architecture."""

    architecture: Literal["resnet", "unet"] = "resnet"
    """The generators are residual networks (resnet) or U-Nets (unet)."""
    num_blocks: Count = 9
    """A resnet has this many residual blocks; the reference takes 9 from 256 pixels upwards and 6 below."""
    num_levels: Annotated[int, Field(ge=2, le=16)] = 8
    """A unet halves its image this many times; the reference takes 8 at 256 pixels and 7 at 128."""
    upsampling: Literal["transposed", "nearest", "bilinear", "subpixel"] = "transposed"
    """The size is doubled by a transposed convolution (transposed), by a resize before a convolution (nearest,
    bilinear), or by a convolution whose channels are rearranged to pixels (subpixel).
    """
    padding: Literal["reflect", "replicate", "zero"] = "reflect"
    """The convolutions of a resnet that keep the size pad their input in this way; all other convolutions pad it with
    zeros, as in the reference.
    """
    output: Literal["tanh", "sigmoid"] = "tanh"
    """The network ends with this function; with sigmoid it sees and makes values in [0, 1], but the images around it
    stay in [-1, 1].
    """
    shortcut: Literal["none", "image", "blurred"] = "none"
    """The last convolution of a resnet also sees the image (image), or the mean colours around each pixel (blurred),
    because instance normalization hides brightness and contrast from all other layers.
    """
    start: Literal["random", "copy"] = "random"
    """The training begins with random networks (random), or with networks that copy their input (copy): they then add
    to the image instead of making a new one.
    """

    def structure(self) -> dict[str, object]:
        """The keys that decide the shapes of the weights, and what the trained network computes from them."""
        unused = {"l1", "l2", "dropout", "initializer", "initializer_gain"}
        unused |= {key for name, facts in GENERATORS.items() if name != self.architecture for key in facts.own_keys}
        return {key: value for key, value in self.model_dump().items() if key not in unused} | {
            "affine": self.is_affine
        }

    @property
    def num_halvings(self) -> int:
        """How many times the network halves its image."""
        return GENERATORS[self.architecture].num_halvings(self)

    @property
    def size_multiple(self) -> int:
        """The height and width of an image must be multiples of this."""
        multiple: int = 2**self.num_halvings
        return multiple

    @property
    def min_size(self) -> int:
        """The smallest height and width of an image.

        A resnet must have a pixel to reflect at a quarter of the size; a unet ends at one pixel.
        """
        return max(self.size_multiple, 8)


class GeneratorFacts(NamedTuple):
    """The facts about a generator architecture that the configuration needs.

    Attributes:
        own_keys: the keys that have an effect on this architecture alone.
        num_halvings: how many times a network of this architecture halves its image.
    """

    own_keys: tuple[str, ...]
    num_halvings: Callable[[GeneratorConfig], int]


GENERATORS = {
    "resnet": GeneratorFacts(("num_blocks", "padding", "shortcut"), lambda config: 2),
    "unet": GeneratorFacts(("num_levels",), lambda config: config.num_levels),
}
"""Facts about the values of `generator.architecture`."""


class DiscriminatorConfig(_NetworkConfig):
    """The network that tells real images from translated ones; both domains have the same architecture."""

    architecture: Literal["patch", "pixel", "multiscale"] = "patch"
    """The scores judge patches of the image (patch), single pixels (pixel), or patches of the image and of its halves
    (multiscale).
    """
    num_layers: Annotated[int, Field(ge=1, le=5)] = 3
    """A patch network halves its image this many times, and so does each network of multiscale; with 3, each score
    judges 70x70 pixels.
    """
    num_scales: Literal[2, 3] = 2
    """multiscale has this many networks, each for an image of half the size of the one before."""
    spectral_norm: bool = False
    """Each kernel is divided by its largest singular value."""
