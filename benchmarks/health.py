"""The examination of runs: what healthy runs show, and which rules fire on runs and networks that were made ill.

    python benchmarks/health.py --healthy RUN ...     (runs with many checkpoints: training.keep_checkpoints)
    python benchmarks/health.py --ill RUN             (a trained run, whose generators are made ill)

The first form examines each checkpoint, and prints the range of each symptom. The second form makes the generators of a
run ill in seven ways, trains three small runs in ways that must go wrong, and prints which rules fire on which of them:
a table of detectors and illnesses.
"""

import argparse
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

import cyclegan
from cyclegan.config.config import Config
from cyclegan.data.inventory import recall_images
from cyclegan.data.sources import Source, default_data_dir, resolve_source
from cyclegan.networks.generators import build_generator
from cyclegan.networks.weights import named_weights
from cyclegan.training.checkpoints import list_checkpoints
from cyclegan.training.health import PREFIX, Examined, build_examination
from cyclegan.training.history import read_history
from cyclegan.training.illnesses import ILLNESSES, Findings, diagnose
from cyclegan.training.record import read_config, read_inventory, read_record

SMALL = [
    ("training.steps", 2000),
    ("training.deterministic", True),
    ("training.checkpoint_every_steps", 1000),
    ("training.log_every_steps", 100),
    ("health.every_steps", 50),
]
"""The runs that go wrong are those of the preset smoke, a hundred times as long."""

WRONG: dict[str, list[tuple[str, object]]] = {
    "cycle weights of 1000, large discriminators": [
        ("losses.cycle_weight_a", 1000.0),
        ("losses.cycle_weight_b", 1000.0),
        ("discriminator.filters", 32),
        ("discriminator.num_layers", 2),
    ],
    "discriminator.l2 of 10": [("discriminator.l2", 10.0)],
}


def load(folder: pathlib.Path) -> tuple[Config, Source, tuple[keras.Model, keras.Model]]:
    """The configuration, the images and the untrained generators of a run."""
    config = read_config(folder)
    source = resolve_source(config.data, default_data_dir(), print)
    source = recall_images(source, read_inventory(folder, read_record(folder)), config.data)
    channels = config.data.channels_a, config.data.channels_b
    generators = (
        build_generator(config.generator, *channels, name="generator_ab"),
        build_generator(config.generator, *channels[::-1], name="generator_ba"),
    )
    return config, source, generators


def read_weights(path: pathlib.Path, generators: tuple[keras.Model, keras.Model]) -> None:
    """Gives generators the weights of a checkpoint."""
    with np.load(path) as arrays:
        for generator in generators:
            for name, variable in named_weights(generator).items():
                variable.assign(arrays[f"{generator.name}/{name}"])


def examine_healthy(folders: list[pathlib.Path]) -> None:
    """Prints the range of each symptom over all checkpoints of runs."""
    found: list[Findings] = []
    for folder in folders:
        config, source, generators = load(folder)
        examine = build_examination(*generators, source, config)
        assert examine
        own = []
        for _, path in list_checkpoints(folder / "checkpoints"):
            read_weights(path, generators)
            own.append(examine())
        print(f"{folder}: {len(own)} checkpoints; ill: {', '.join(diagnose(own)) or 'nothing'}", flush=True)
        found += own
    print("\n| Symptom | smallest | median | largest |\n| --- | ---: | ---: | ---: |")
    for name in dict.fromkeys(key.partition("/")[2] for key in found[0]):
        values = [each[f"{direction}/{name}"] for each in found for direction in ("ab", "ba")]
        print(f"| {name} | {min(values):.3f} | {np.median(values):.3f} | {max(values):.3f} |")


def ill_networks(generators: tuple[Examined, Examined], target: np.ndarray) -> Mapping[str, tuple[Examined, Examined]]:
    """Pairs of networks that are ill in both directions."""
    ab, ba = generators
    size = target.shape[0]
    cell = np.zeros((4, 4, 1), np.float32)
    cell[0, 0] = cell[2, 2] = 0.3
    pattern = np.tile(cell, (size // 4, size // 4, 1))

    def both(change: Callable[[Examined], Examined]) -> tuple[Examined, Examined]:
        return change(ab), change(ba)

    def spoil(outputs: Any) -> Any:
        spot = np.zeros(outputs.shape[1:], np.float32)
        spot[0, 0, 0] = np.nan
        return outputs + spot

    def hide(images: Any, training: bool) -> Any:
        return 0.9 * target[None] + 0.02 * images

    def find(images: Any, training: bool) -> Any:
        return (images - 0.9 * target[None]) / 0.02

    return {
        "healthy": generators,
        "one value of the outputs is not a number": both(lambda own: lambda images, training: spoil(own(images))),
        "outputs negated": both(lambda own: lambda images, training: -own(images, training=training)),
        "output = input": both(lambda own: lambda images, training: images + 0),
        "outputs times 0.02": both(lambda own: lambda images, training: 0.02 * own(images, training=training)),
        "outputs times 20, clipped": both(
            lambda own: lambda images, training: keras.ops.clip(20 * own(images, training=training), -1, 1)
        ),
        "always one image": both(lambda own: lambda images, training: 0 * images + target[None]),
        "input hidden in 0.02 of the range": (hide, find),
        "outputs with a grid": both(lambda own: lambda images, training: own(images, training=training) + pattern),
    }


def examine_ill(folder: pathlib.Path) -> None:
    """Prints which rules fire on networks and runs that were made ill."""
    config, source, generators = load(folder)
    read_weights(list_checkpoints(folder / "checkpoints")[-1][1], generators)
    from cyclegan.data.views import load_views

    (target,) = load_views(source.train_b, 1, config.data.channels_b, config.data)
    rows = {}
    for name, pair in ill_networks(generators, target).items():
        examine = build_examination(*pair, source, config)
        assert examine
        rows[name] = diagnose([examine()] * 10)
    for name, findings in trained_wrong().items():  # what was seen at any time
        rows[name] = {key: one for end in range(1, len(findings) + 1) for key, one in diagnose(findings[:end]).items()}
    print("| Made ill | " + " | ".join(ILLNESSES) + " |\n| --- |" + " --- |" * len(ILLNESSES))
    for name, ill in rows.items():
        cells = [" ".join(key.removeprefix(f"{one} ") for key in ill if key.startswith(one)) for one in ILLNESSES]
        print(f"| {name} | " + " | ".join(cells) + " |")


def trained_wrong() -> Mapping[str, list[Findings]]:
    """What was found in small runs that must go wrong."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        for name, keys in WRONG.items():
            run = pathlib.Path(place) / name.replace(" ", "-").replace(",", "")
            cyclegan.train("smoke", [*SMALL, *keys], run_dir=run)
            found[name] = findings_of(run)
        run = pathlib.Path(place) / "fast"
        cyclegan.train("smoke", SMALL, run_dir=run)
        cyclegan.train(None, [("training.steps", 2500), ("optimizer.learning_rate", 0.05)], run_dir=run)
        found["a rate of 0.05 after 2000 steps"] = findings_of(run)
    return found


def findings_of(run: pathlib.Path) -> list[Findings]:
    """What the examinations of a run have found, in their order."""
    entries = read_history(run, 10**9)
    return [{name.removeprefix(PREFIX): value for name, value in entry.values.items()} for entry in entries]


def main() -> None:
    """Prints tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--healthy", nargs="+", type=pathlib.Path, default=[])
    parser.add_argument("--ill", type=pathlib.Path)
    options = parser.parse_args()
    if options.healthy:
        examine_healthy(options.healthy)
    if options.ill:
        examine_ill(options.ill)


if __name__ == "__main__":
    main()
