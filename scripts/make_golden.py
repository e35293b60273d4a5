"""Golden values of the recipe, from a plain rewrite in PyTorch that shares nothing with the package.

    pip install torch
    python scripts/make_golden.py check FOLDER     recompute every case in FOLDER, print the largest differences
    python scripts/make_golden.py make FOLDER      write the project's own cases, as they are in tests/golden

Weights have the names of the authors' PyTorch implementation, so the rewrite can be held against values of that. It
computes in float64; files hold float32, losses float64, images NHWC.
"""

import itertools
import json
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import click
import numpy as np
import torch
from torch import nn

LOSS_NAMES = ("G_A", "G_B", "cycle_A", "cycle_B", "idt_A", "idt_B", "D_A", "D_B")


def norm(channels: int, kind: str) -> nn.Module:
    """Instance norm without weights, or batch norm with."""
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.InstanceNorm2d(channels)


class ResidualBlock(nn.Module):
    """X + f(x), f two reflect-padded convolutions."""

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


class Resnet(nn.Module):
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


class Level(nn.Module):
    """One level of a U-Net with all that is inside of it; `outer` and `inner` are its channels outside and inside."""

    def __init__(self, outer: int, inner: int, inside: nn.Module | None, channels: tuple[int, int] | None = None):
        super().__init__()
        self.is_outermost = channels is not None
        channels_in, channels_out = channels or (outer, outer)
        down = nn.Conv2d(channels_in, inner, 4, stride=2, padding=1)
        up = nn.ConvTranspose2d(inner if inside is None else 2 * inner, channels_out, 4, stride=2, padding=1)
        # In place: what the skip connection carries is the activated input.
        activated = [nn.LeakyReLU(0.2, inplace=True), down]
        if channels:
            layers = [down, inside, nn.ReLU(), up, nn.Tanh()]
        elif inside is None:
            layers = [*activated, nn.ReLU(), up, nn.InstanceNorm2d(outer)]
        else:
            layers = [*activated, nn.InstanceNorm2d(inner), inside, nn.ReLU(), up, nn.InstanceNorm2d(outer)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The level's output, beside its input but for the outermost."""
        if self.is_outermost:
            return self.model(x)
        x = x.clone()
        y = self.model(x)
        return torch.cat([x, y], 1)


class Unet(nn.Module):
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


class PatchGan(nn.Module):
    """Discriminator of patches."""

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
        """Scores of patches."""
        return self.model(x)


class Pixel(nn.Module):
    """Discriminator of single pixels."""

    def __init__(self, channels: int, filters: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, filters, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(filters, 2 * filters, 1), nn.InstanceNorm2d(2 * filters), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * filters, 1, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of pixels."""
        return self.net(x)


def build(weights: dict[str, np.ndarray]) -> nn.Module:
    """The network that names and shapes of weights describe, in float64, with these weights."""
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
    """The output for images, both [batch, height, width, channels]."""
    with torch.no_grad():
        output = network(torch.from_numpy(images).double().permute(0, 3, 1, 2))
    return output.permute(0, 2, 3, 1).numpy()


def train(
    networks: dict[str, nn.Module], settings: dict, real_a: np.ndarray, real_b: np.ndarray
) -> Iterator[list[float]]:
    """The losses of each step, in the order of LOSS_NAMES. In the reference D_A judges domain B."""
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
        # The discriminators' part of the step sees their weights of before, and the fakes of before.
        generators.step()
        discriminators.zero_grad()
        of_b = (square(judge_b(b), 1) + square(judge_b(fake_b.detach()), 0)) / 2
        of_a = (square(judge_a(a), 1) + square(judge_a(fake_a.detach()), 0)) / 2
        (of_b + of_a).backward()
        discriminators.step()
        yield [loss.item() for loss in (*losses, of_b, of_a)]


def load(path: pathlib.Path) -> dict[str, np.ndarray]:
    """All arrays of a file."""
    with np.load(path) as arrays:
        return dict(arrays)


def save(path: pathlib.Path, arrays: dict[str, Any]) -> None:
    """Writes arrays to a file."""
    np.savez_compressed(path, **arrays)


def trajectory(folder: pathlib.Path, golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What `steps.npz` holds beside the real images."""
    settings = json.loads((folder / "settings.json").read_text())
    networks = {name: build(load(folder / f"0_net_{name}.weights.npz")) for name in ("G_A", "G_B", "D_A", "D_B")}
    losses = list(train(networks, settings, golden["real_a"], golden["real_b"]))
    first_a, first_b = golden["real_a"][0], golden["real_b"][0]
    return {
        "losses": np.array(losses),
        "fake_b_after": run(networks["G_A"], first_a),
        "fake_a_after": run(networks["G_B"], first_b),
        "scores_b_after": run(networks["D_A"], first_b),
        "scores_a_after": run(networks["D_B"], first_a),
    }


@click.group()
def main() -> None:
    """Golden values of the recipe, from a plain rewrite in PyTorch."""


@main.command()
@click.argument("folder", type=click.Path(path_type=pathlib.Path, exists=True))
def check(folder: pathlib.Path) -> None:
    """Recompute every case in FOLDER and print the largest differences; exit 1 if one is too large or no number."""
    ratios = []  # of each difference to its limit
    for path in sorted(folder.glob("*.weights.npz")):
        golden = load(path.with_name(path.name.replace(".weights", "")))
        difference = np.abs(run(build(load(path)), golden["x"]) - golden["y"]).max()
        ratios.append(difference / 1e-5)
        click.echo(f"{path.name.removesuffix('.weights.npz'):<28} output {difference:.1e}")
    for case in sorted(path.parent for path in folder.glob("step_*/settings.json")):
        golden = load(case / "steps.npz")
        found = trajectory(case, golden)
        losses = np.abs(found["losses"] - golden["losses"]) / np.maximum(np.abs(golden["losses"]), 1e-12)
        after = max(np.abs(found[name] - golden[name]).max() for name in found if name != "losses")
        ratios += [losses.max() / 1e-6, after / 1e-5]
        click.echo(f"{case.name:<28} losses {losses.max():.1e} relative, fakes and scores {after:.1e}")
    if not ratios:
        raise click.UsageError(f"FOLDER must hold cases: *.weights.npz or step_*. Received: {folder}, which has none.")
    sys.exit(not all(ratio <= 1 for ratio in ratios))  # which no NaN is


NETWORKS = {
    "resnet_9blocks_ngf1": (lambda: Resnet((3, 3), 1, 9, "instance"), (1, 16, 16, 3)),
    "resnet_6blocks_ngf1": (lambda: Resnet((1, 4), 1, 6, "instance"), (2, 16, 24, 1)),
    "resnet_6blocks_ngf1_batch": (lambda: Resnet((3, 3), 1, 6, "batch"), (2, 16, 16, 3)),
    "unet_32_ngf1": (lambda: Unet((3, 1), 1, 5), (2, 32, 64, 3)),
    "patchgan_ndf4_n1": (lambda: PatchGan(3, 4, 1), (1, 32, 32, 3)),
    "patchgan_ndf4_n2": (lambda: PatchGan(1, 4, 2), (2, 40, 24, 1)),
    "patchgan_ndf4_n3": (lambda: PatchGan(3, 4, 3), (2, 32, 48, 3)),
    "pixel_ndf4": (lambda: Pixel(3, 4), (2, 16, 24, 3)),
}
TRAJECTORIES: dict[str, dict[str, Any]] = {
    "step_identity": {"batch": 1, "n_layers_D": 2, "lambda_A": 10.0, "lambda_B": 10.0, "lambda_identity": 0.5},
    "step_unequal_batch2": {"batch": 2, "n_layers_D": 1, "lambda_A": 7.0, "lambda_B": 12.0, "lambda_identity": 0.5},
}
COMMON: dict[str, Any] = {
    **{"size": 16, "steps": 5, "ngf": 2, "ndf": 2, "generator": "resnet_6blocks", "pool_size": 0},
    **{"lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8},
}


def drawn_weights(network: nn.Module, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights that leave no part of a network without effect, in steps of 1/32 so that the files stay small."""

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("num_batches_tracked"):
            return np.array(7)
        if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
            return np.round(random.uniform(0.5, 2, shape) * 16).astype(np.float32) / 16
        scale = 0.8 / np.sqrt(np.prod(shape[1:])) if len(shape) == 4 else 0.2
        return np.round(random.normal(0, scale, shape) * 32).astype(np.float32) / 32

    return {name: draw(name, tuple(value.shape)) for name, value in network.state_dict().items()}


def drawn_images(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Pixels in steps of 1/16 between -1 and 1."""
    return random.integers(-16, 17, shape).astype(np.float32) / 16


@main.command()
@click.argument("folder", type=click.Path(path_type=pathlib.Path))
def make(folder: pathlib.Path) -> None:
    """Write the project's own cases to FOLDER; the same bytes each time."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (network, shape) in NETWORKS.items():
        weights = drawn_weights(network(), random)
        x = drawn_images(shape, random)
        y = run(build(weights), x)
        click.echo(f"{name:<28} standard deviation of the output {y.std():.2f}")
        save(folder / f"{name}.weights.npz", weights)
        save(folder / f"{name}.npz", {"x": x, "y": y.astype(np.float32)})
    for name, own in TRAJECTORIES.items():
        case, settings = folder / name, COMMON | own
        case.mkdir(exist_ok=True)
        (case / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")
        for net in ("G_A", "G_B", "D_A", "D_B"):
            network = PatchGan(3, 2, settings["n_layers_D"]) if net[0] == "D" else Resnet((3, 3), 2, 6, "instance")
            save(case / f"0_net_{net}.weights.npz", drawn_weights(network, random))
        images = (settings["steps"], settings["batch"], settings["size"], settings["size"], 3)
        golden = {"real_a": drawn_images(images, random), "real_b": drawn_images(images, random)}
        found = trajectory(case, golden)
        click.echo(f"{name:<28} losses of the last step {found['losses'][-1].round(3).tolist()}")
        after = {key: value.astype(np.float32) for key, value in found.items() if key != "losses"}
        losses = {"losses": found["losses"], "loss_names": np.array(LOSS_NAMES)}
        save(case / "steps.npz", golden | losses | after)


if __name__ == "__main__":
    main()
