"""How the PyTorch implementation of Zhu et al. names its layers, and what these names tell about a network.

Its networks are numbered sequences of modules. The name of a weight contains the number of its layer: `model.4.weight`.
Names and shapes of the weights determine the whole architecture, so a file of weights does not need a description. This
module works on arrays and does not need PyTorch.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from cyclegan.config.networks import DiscriminatorConfig, GeneratorConfig
from cyclegan.errors import UsageError

Arrays = Mapping[str, np.ndarray]
"""Weights by their names in the reference."""

DROPOUT_RATE = 0.5
"""The only dropout rate of the reference."""

MIN_LEVELS, MAX_LEVELS = 2, 16

MAX_NAMES = 20
"""The largest number of weights that one message lists."""


class LayerNames(NamedTuple):
    """The names of one layer with weights: in the reference, and in this package."""

    reference: str
    ours: str


class GeneratorDescription(NamedTuple):
    """The architecture and the channels of a generator, as the names and shapes of its weights tell."""

    config: GeneratorConfig
    channels_in: int
    channels_out: int

    def summary(self) -> str:
        """The description in one line."""
        config = self.config
        is_unet = config.architecture == "unet"
        depth = _counted(config.num_levels, "level") if is_unet else _counted(config.num_blocks, "block")
        return (
            f"{config.architecture}, {depth}, {_counted(config.filters, 'filter')}, {config.normalization} norm"
            f"{' (affine)' if config.affine else ''}{', dropout' if config.dropout else ''},"
            f" {_counted(self.channels_in, 'channel')} in, {self.channels_out} out"
        )


WEIGHTS = (
    ("weight", "kernel"),
    ("weight", "gamma"),
    ("bias", "bias"),
    ("bias", "beta"),
    ("running_mean", "moving_mean"),
    ("running_var", "moving_variance"),
)
"""The weights of a layer: their names in the reference, and in this package.

The kernel of a convolution is [out, in, height, width] in the reference, and [height, width, in, out] in this package.
The kernel of a transposed convolution is [in, out, height, width] in the reference, and [height, width, out, in] here.
"""


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def layers_of(config: GeneratorConfig | DiscriminatorConfig) -> list[LayerNames]:
    """Lists the layers of a network in the order of the reference.

    Raises:
        UsageError: if the reference does not have this architecture.
    """
    if config.architecture not in _LAYERS:
        raise UsageError(
            f"`architecture` must be {' or '.join(_LAYERS)}, because the PyTorch implementation has no others."
            f" Received: {config.architecture}."
        )
    return [LayerNames(*names) for names in _LAYERS[config.architecture](config)]


def _resnet(config: GeneratorConfig) -> Iterable[tuple[str, str]]:
    """Modules: padding; three times convolution, norm, ReLU; blocks; two times the same three; padding, convolution."""
    yield from (("model.1", "first_conv"), ("model.2", "first_norm"))
    for level in (1, 2):
        yield from ((f"model.{3 * level + 1}", f"down_{level}_conv"), (f"model.{3 * level + 2}", f"down_{level}_norm"))
    second = 6 if config.dropout else 5  # padding, convolution, norm, ReLU, perhaps dropout, padding, convolution, norm
    for index in range(1, config.num_blocks + 1):
        block, name = f"model.{9 + index}.conv_block", f"residual_{index}"
        yield from ((f"{block}.1", f"{name}_conv_1"), (f"{block}.2", f"{name}_norm_1"))
        yield from ((f"{block}.{second}", f"{name}_conv_2"), (f"{block}.{second + 1}", f"{name}_norm_2"))
    end = 10 + config.num_blocks
    for level, place in ((1, end), (2, end + 3)):
        yield from ((f"model.{place}", f"up_{level}_conv"), (f"model.{place + 1}", f"up_{level}_norm"))
    yield (f"model.{end + 7}", "last_conv")


def _unet(config: GeneratorConfig) -> Iterable[tuple[str, str]]:
    """Nested levels: (ReLU), convolution, (norm), the next level, ReLU, transposed convolution, (norm)."""
    place, ends = "model.model", []
    for level in range(1, config.num_levels + 1):
        is_outermost, is_innermost = level == 1, level == config.num_levels
        down, up = (0, 3) if is_outermost else (1, 3 if is_innermost else 5)
        yield (f"{place}.{down}", f"down_{level}_conv")
        if not is_outermost and not is_innermost:
            yield (f"{place}.{down + 1}", f"down_{level}_norm")
        ends.append((f"{place}.{up + 1}", f"up_{level}_norm"))
        ends.append((f"{place}.{up}", f"up_{level}_conv"))
        place = f"{place}.{1 if is_outermost else 3}.model"
    yield from reversed(ends[1:])  # from the innermost outwards; the outermost level has no norm


def _patch(config: DiscriminatorConfig) -> Iterable[tuple[str, str]]:
    """Modules: convolution, LeakyReLU; for each further layer convolution, norm, LeakyReLU; convolution."""
    yield ("model.0", "conv_0")
    for level in range(1, config.num_layers + 1):
        yield from ((f"model.{3 * level - 1}", f"conv_{level}"), (f"model.{3 * level}", f"norm_{level}"))
    yield (f"model.{3 * config.num_layers + 2}", "scores")


def _pixel(config: DiscriminatorConfig) -> Iterable[tuple[str, str]]:
    """Modules: convolution, LeakyReLU, convolution, norm, LeakyReLU, convolution."""
    yield from (("net.0", "conv_0"), ("net.2", "conv_1"), ("net.3", "norm_1"), ("net.5", "scores"))


_LAYERS: dict[str, Callable[..., Iterable[tuple[str, str]]]] = {
    "resnet": _resnet,
    "unet": _unet,
    "patch": _patch,
    "pixel": _pixel,
}


def describe_generator(arrays: Arrays, source: str) -> GeneratorDescription:
    """Finds architecture, width, depth, normalization, dropout and channels of a generator from its weights.

    Args:
        arrays: the weights.
        source: the name of their file, for messages.

    Raises:
        UsageError: if the weights do not belong to a generator that this package can build.
    """
    blocks = {int(match[1]) for name in arrays if (match := re.match(r"model\.(\d+)\.conv_block\.", name))}
    if blocks:
        places = _convolutions_of_blocks(arrays, source)
        first, last = "model.1", f"model.{17 + len(blocks)}"
        options: dict[str, object] = {"num_blocks": len(blocks), "dropout": DROPOUT_RATE if places == [1, 6] else 0.0}
        out_axis = 0
    elif "model.model.0.weight" in arrays:
        first, last, out_axis = "model.model.0", "model.model.3", 1
        num_levels = len(_convolutions(arrays)) // 2
        options = {"architecture": "unet", "num_levels": num_levels}
        if not MIN_LEVELS <= num_levels <= MAX_LEVELS:
            raise UsageError(
                f"{source} must be a unet with {MIN_LEVELS} to {MAX_LEVELS} levels. Received: {num_levels}."
            )
    else:
        raise UsageError(f"{source} is not a generator of the PyTorch implementation: {_what_it_is(arrays)}.")

    for name in (f"{first}.weight", f"{last}.weight"):
        if name not in arrays or arrays[name].ndim != 4:
            raise UsageError(f"{source} has no convolution `{name}`, which a generator of this architecture must have.")
    config = GeneratorConfig.model_validate(
        {**options, "filters": arrays[f"{first}.weight"].shape[0], **_normalization(arrays, {last})}
    )
    return GeneratorDescription(config, arrays[f"{first}.weight"].shape[1], arrays[f"{last}.weight"].shape[out_axis])


def _convolutions_of_blocks(arrays: Arrays, source: str) -> list[int]:
    """The numbers of the modules of a residual block that are its two convolutions.

    Raises:
        UsageError: if the blocks are not those of the reference with reflection padding.
    """
    kernels = {
        match[1]: arrays[name].shape
        for name in arrays
        if (match := re.search(r"conv_block\.(\d.*)\.weight$", name)) and arrays[name].ndim == 4
    }
    depthwise = [place for place, (out, into, *size) in kernels.items() if into == 1 < out and max(size) > 1]
    if depthwise:
        raise UsageError(
            f"{source} has depthwise-separable residual blocks, as networks from GAN compression have: the kernel of"
            f" `conv_block.{depthwise[0]}` has shape {kernels[depthwise[0]]}. cyclegan does not have such blocks."
            " Import the network from before its compression."
        )
    places = sorted({int(place) for place in kernels if place.isdecimal()})
    if places not in ([1, 5], [1, 6]):
        raise UsageError(
            f"{source}: the convolutions of a residual block must be its modules 1 and 5, or 1 and 6 with dropout."
            f" Received: {' and '.join(map(str, places)) or listed(kernels) or 'none'}. Blocks with zero padding cannot"
            " be imported."
        )
    return places


def describe_discriminator(arrays: Arrays) -> tuple[DiscriminatorConfig, int] | None:
    """Finds the configuration and the channels of a discriminator; None if the weights belong to something else."""
    convolutions = _convolutions(arrays)
    options: dict[str, object]
    if convolutions == ["net.0", "net.2", "net.5"]:
        options = {"architecture": "pixel"}
    elif convolutions in [["model.0", *(f"model.{3 * n - 1}" for n in range(1, layers + 2))] for layers in range(1, 6)]:
        options = {"num_layers": len(convolutions) - 2}
    else:
        return None
    filters, channels = arrays[f"{convolutions[0]}.weight"].shape[:2]
    config = {**options, "filters": filters, **_normalization(arrays, {convolutions[0], convolutions[-1]})}
    return DiscriminatorConfig.model_validate(config), channels


def _convolutions(arrays: Arrays) -> list[str]:
    """The layers with kernels, in the order of the file."""
    return [name.removesuffix(".weight") for name, array in arrays.items() if array.ndim == 4]


def _normalization(arrays: Arrays, not_normalized: set[str]) -> dict[str, object]:
    """The normalization. In the reference a hidden convolution has a bias only if an instance norm follows."""
    hidden = [name for name in _convolutions(arrays) if name not in not_normalized]
    affine = any(array.ndim == 1 and re.fullmatch(r"(model|net)\..*\d\.weight", name) for name, array in arrays.items())
    if any(f"{name}.bias" in arrays for name in hidden):
        return {"normalization": "instance", "affine": affine or None}
    return {"normalization": "batch" if affine else "none"}


def _what_it_is(arrays: Arrays) -> str:
    description = describe_discriminator(arrays)
    if description:
        return f"it is a discriminator ({description[0].architecture}), but a bundle holds generators"
    return f"it has neither residual blocks nor the levels of a unet, but {listed(f'`{name}`' for name in arrays)}"


def listed(items: Iterable[str]) -> str:
    """Joins items to one line; at most `MAX_NAMES` of them, and the number of the others."""
    items = [" ".join(item.split()) for item in items]  # a name in a file can contain line breaks
    more = [f"{len(items) - MAX_NAMES} more"] if len(items) > MAX_NAMES else []
    return "; ".join(items[:MAX_NAMES] + more)
