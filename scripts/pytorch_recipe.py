"""The recipe of the authors' implementation in plain PyTorch: networks, losses and the training step.

It shares nothing with the package, so that `make_golden.py` can hold the two against each other. Weights have the names
of the authors' implementation. Everything is computed in float64.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

LOSS_NAMES = ("G_A", "G_B", "cycle_A", "cycle_B", "idt_A", "idt_B", "D_A", "D_B")


def norm(channels: int, kind: str) -> nn.Module:
    """Batch norm with a scale and an offset, or instance norm without."""
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.InstanceNorm2d(channels)


class ResidualBlock(nn.Module):  # type: ignore[misc] # types of PyTorch are not read: it is an extra
    """X + f(x), where f is two convolutions with reflection padding."""

    def __init__(self, channels: int, kind: str):
        super().__init__()
        bias = kind == "instance"
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels, kind), nn.ReLU(),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels, kind),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Adds the block to its input."""
        return x + self.conv_block(x)


class Resnet(nn.Module):  # type: ignore[misc]
    """ResNet generator."""

    def __init__(self, channels: tuple[int, int], filters: int, blocks: int, kind: str):
        super().__init__()
        f, bias = filters, kind == "instance"
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(channels[0], f, 7, bias=bias), norm(f, kind), nn.ReLU()]
        for n in (f, 2 * f):
            layers += [nn.Conv2d(n, 2 * n, 3, stride=2, padding=1, bias=bias), norm(2 * n, kind), nn.ReLU()]
        layers += [ResidualBlock(4 * f, kind) for _ in range(blocks)]
        for n in (4 * f, 2 * f):
            up = nn.ConvTranspose2d(n, n // 2, 3, stride=2, padding=1, output_padding=1, bias=bias)
            layers += [up, norm(n // 2, kind), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(f, channels[1], 7), nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Translates images."""
        return self.model(x)


class Level(nn.Module):  # type: ignore[misc]
    """One level of a U-Net with the levels inside it; `outer` and `inner` are the channels outside and inside."""

    def __init__(self, outer: int, inner: int, inside: nn.Module | None, channels: tuple[int, int] | None = None):
        super().__init__()
        self.is_outermost = channels is not None
        channels_in, channels_out = channels or (outer, outer)
        down = nn.Conv2d(channels_in, inner, 4, stride=2, padding=1)
        up = nn.ConvTranspose2d(inner if inside is None else 2 * inner, channels_out, 4, stride=2, padding=1)
        # The activation is in place, so the skip connection carries the activated input.
        activated = [nn.LeakyReLU(0.2, inplace=True), down]
        if channels:
            layers = [down, inside, nn.ReLU(), up, nn.Tanh()]
        elif inside is None:
            layers = [*activated, nn.ReLU(), up, nn.InstanceNorm2d(outer)]
        else:
            layers = [*activated, nn.InstanceNorm2d(inner), inside, nn.ReLU(), up, nn.InstanceNorm2d(outer)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The level's output; every level but the outermost puts its input in front of it."""
        if self.is_outermost:
            return self.model(x)
        x = x.clone()
        y = self.model(x)
        return torch.cat([x, y], 1)


class Unet(nn.Module):  # type: ignore[misc]
    """U-Net generator with instance norm."""

    def __init__(self, channels: tuple[int, int], filters: int, levels: int):
        super().__init__()
        widths = [filters * min(2**level, 8) for level in range(levels)]
        inside = None
        for outer, inner in reversed(list(itertools.pairwise(widths))):
            inside = Level(outer, inner, inside)
        self.model = Level(0, filters, inside, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Translates images."""
        return self.model(x)


class PatchGan(nn.Module):  # type: ignore[misc]
    """Discriminator that scores patches."""

    def __init__(self, channels: int, filters: int, num_layers: int):
        super().__init__()
        layers = [nn.Conv2d(channels, filters, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        width = filters
        for level in range(1, num_layers + 1):
            wider, stride = filters * min(2**level, 8), 2 if level < num_layers else 1
            layers += [nn.Conv2d(width, wider, 4, stride=stride, padding=1), nn.InstanceNorm2d(wider)]
            layers += [nn.LeakyReLU(0.2)]
            width = wider
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, stride=1, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores the patches of images."""
        return self.model(x)


class Pixel(nn.Module):  # type: ignore[misc]
    """Discriminator that scores single pixels."""

    def __init__(self, channels: int, filters: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, filters, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(filters, 2 * filters, 1), nn.InstanceNorm2d(2 * filters), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * filters, 1, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores the pixels of images."""
        return self.net(x)


def build(weights: dict[str, np.ndarray]) -> nn.Module:
    """Builds the network that the names and shapes of weights describe, in float64, and gives it these weights."""
    kernels = {name: value.shape for name, value in weights.items() if value.ndim == 4}
    shapes = list(kernels.values())
    blocks = {match[1] for name in kernels if (match := re.match(r"(.*)\.conv_block", name))}
    if "net.0.weight" in kernels:
        network: nn.Module = Pixel(shapes[0][1], shapes[0][0])
    elif "model.model.0.weight" in kernels:
        network = Unet((shapes[0][1], kernels["model.model.3.weight"][1]), shapes[0][0], len(kernels) // 2)
    elif blocks:
        kind = "instance" if "model.1.bias" in weights else "batch"
        network = Resnet((shapes[0][1], shapes[-1][0]), shapes[0][0], len(blocks), kind)
    else:
        network = PatchGan(shapes[0][1], shapes[0][0], len(kernels) - 2)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network.double().eval()


def run(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Runs a network on images; input and output are [batch, height, width, channels]."""
    with torch.no_grad():
        output = network(torch.from_numpy(images).double().permute(0, 3, 1, 2))
    translated: np.ndarray = output.permute(0, 2, 3, 1).numpy()
    return translated


def train(
    networks: dict[str, nn.Module], settings: dict[str, Any], real_a: np.ndarray, real_b: np.ndarray
) -> Iterator[list[float]]:
    """Trains, and yields the losses of each step in the order of LOSS_NAMES. In the reference D_A judges domain B."""
    ab, ba, judge_b, judge_a = (networks[name] for name in ("G_A", "G_B", "D_A", "D_B"))
    options = {"lr": settings["lr"], "betas": (settings["beta1"], settings["beta2"]), "eps": settings["eps"]}
    generators = torch.optim.Adam([*ab.parameters(), *ba.parameters()], **options)
    discriminators = torch.optim.Adam([*judge_b.parameters(), *judge_a.parameters()], **options)
    cycle_a, cycle_b, identity = settings["lambda_A"], settings["lambda_B"], settings["lambda_identity"]

    def square(scores: torch.Tensor, target: float) -> torch.Tensor:
        return ((scores - target) ** 2).mean()

    for arrays in zip(real_a, real_b, strict=True):
        a, b = (torch.from_numpy(array).double().permute(0, 3, 1, 2) for array in arrays)
        fake_b, fake_a = ab(a), ba(b)
        losses = [
            square(judge_b(fake_b), 1),
            square(judge_a(fake_a), 1),
            cycle_a * (ba(fake_b) - a).abs().mean(),
            cycle_b * (ab(fake_a) - b).abs().mean(),
            cycle_b * identity * (ab(b) - b).abs().mean() if identity else torch.zeros(()),
            cycle_a * identity * (ba(a) - a).abs().mean() if identity else torch.zeros(()),
        ]
        generators.zero_grad()
        sum(losses).backward()
        # The discriminators see fakes that the generators made before this update.
        generators.step()
        discriminators.zero_grad()
        of_b = (square(judge_b(b), 1) + square(judge_b(fake_b.detach()), 0)) / 2
        of_a = (square(judge_a(a), 1) + square(judge_a(fake_a.detach()), 0)) / 2
        (of_b + of_a).backward()
        discriminators.step()
        yield [loss.item() for loss in (*losses, of_b, of_a)]
