"""Golden values: what `pytorch_recipe.py` computes, which is plain PyTorch and shares nothing with the package.

    pip install torch
    python scripts/make_golden.py check FOLDER     recompute every case in FOLDER and print the largest differences
    python scripts/make_golden.py make FOLDER      write the project's own cases, which are in tests/golden

`check` also reads values that were recorded with the authors' PyTorch implementation. The computation is in float64.
The files hold losses in float64 and everything else in float32; images are NHWC.
"""

import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import click
import numpy as np
from pytorch_recipe import LOSS_NAMES, PatchGan, Pixel, Resnet, Unet, build, run, train
from torch import nn


def load(path: pathlib.Path) -> dict[str, np.ndarray]:
    """All arrays of a file."""
    with np.load(path) as arrays:
        return dict(arrays)


def save(path: pathlib.Path, arrays: dict[str, Any]) -> None:
    """Writes arrays to a file."""
    np.savez_compressed(path, **arrays)


def trajectory(folder: pathlib.Path, golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The losses of a training from a folder's weights, and what the trained networks make of the first images."""
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
    """Make or check golden values with a plain rewrite of the recipe in PyTorch."""


@main.command()
@click.argument("folder", type=click.Path(path_type=pathlib.Path, exists=True))
def check(folder: pathlib.Path) -> None:
    """Recompute every case in FOLDER and print the largest differences.

    The exit code is 1 if a difference is too large or not a number.
    """
    ratios = []  # each difference divided by its limit
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
    sys.exit(not all(ratio <= 1 for ratio in ratios))  # NaN is not at most 1


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
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
    **{"size": 16, "ngf": 2, "ndf": 2, "generator": "resnet_6blocks"},
    **{"lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8, "pool_size": 0, "steps": 5},
}


def drawn_weights(network: nn.Module, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights under which every part of a network has an effect; multiples of 1/32, so that files stay small."""

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("num_batches_tracked"):
            return np.array(7)
        if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
            return np.round(random.uniform(0.5, 2, shape) * 16).astype(np.float32) / 16
        scale = 0.8 / np.sqrt(np.prod(shape[1:])) if len(shape) == 4 else 0.2
        return np.round(random.normal(0, scale, shape) * 32).astype(np.float32) / 32

    return {name: draw(name, tuple(value.shape)) for name, value in network.state_dict().items()}


def drawn_images(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Random multiples of 1/16 between -1 and 1."""
    images: np.ndarray = random.integers(-16, 17, shape).astype(np.float32) / 16
    return images


@main.command()
@click.argument("folder", type=click.Path(path_type=pathlib.Path))
def make(folder: pathlib.Path) -> None:
    """Write the project's own cases to FOLDER, with the same bytes each time."""
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
        losses = make_trajectory(folder / name, COMMON | own, random)
        click.echo(f"{name:<28} losses of the last step {losses[-1].round(3).tolist()}")


def make_trajectory(folder: pathlib.Path, settings: dict[str, Any], random: np.random.Generator) -> np.ndarray:
    """Writes the case of one training to a folder, and returns its losses [steps, losses]."""
    folder.mkdir(exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")
    for name in ("G_A", "G_B", "D_A", "D_B"):
        is_generator = name.startswith("G")
        network = Resnet((3, 3), 2, 6, "instance") if is_generator else PatchGan(3, 2, settings["n_layers_D"])
        save(folder / f"0_net_{name}.weights.npz", drawn_weights(network, random))
    shape = (settings["steps"], settings["batch"], settings["size"], settings["size"], 3)
    golden = {"real_a": drawn_images(shape, random), "real_b": drawn_images(shape, random)}
    found = trajectory(folder, golden)
    after = {key: value.astype(np.float32) for key, value in found.items() if key != "losses"}
    losses = {"losses": found["losses"], "loss_names": np.array(LOSS_NAMES)}
    save(folder / "steps.npz", golden | losses | after)
    return found["losses"]


if __name__ == "__main__":
    main()
