"""Which score finds the better model? The rank correlation of scores without truth with the error against the truth.

    cyclegan train --dataset stripes --run-dir seed-1 --set training.seed=1 --set data.validation_fraction=0.1 \
        --set training.checkpoint_every_steps=200 --set training.keep_checkpoints=20         (and so on for more seeds)
    python benchmarks/scores.py seed-1 seed-2 seed-3 seed-4 seed-5 --features FILE.tflite

Each checkpoint of each run is scored on the validation images of its run, as a training does it. The truth is known of
the test images of the built-in data set: the error is the mean absolute difference to it, over both directions. For
each metric stand there Spearman's rank correlation with that error, the mean over the runs and the smallest; and the
error of the checkpoint that the metric chooses, beside that of the last one and of the best one.
"""

import argparse
import json
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import scipy.stats  # type: ignore[import-untyped]

from cyclegan.config.config import Config
from cyclegan.data.inventory import recall_images
from cyclegan.data.sources import CACHE, Source, default_data_dir, resolve_source
from cyclegan.data.views import read_batches
from cyclegan.evaluation.extractors import choose_extractor, load_extractor
from cyclegan.evaluation.features import Extractor
from cyclegan.evaluation.reading import truth_files
from cyclegan.evaluation.validation import METRICS, Images, Validator
from cyclegan.networks.generators import build_generator
from cyclegan.networks.weights import named_weights
from cyclegan.training.checkpoints import list_checkpoints
from cyclegan.training.record import read_config, read_inventory, read_record


def images_of(paths: Sequence[pathlib.Path], channels: int, config: Config) -> np.ndarray:
    """The views of images in one array."""
    return np.concatenate(list(read_batches(paths, channels, config.data, print)))


def error_of(generators: dict[str, keras.Model], source: Source, config: Config) -> float:
    """The mean absolute difference between the translations of the test images and the truth, over both directions."""
    errors = []
    for direction, inputs in (("ab", source.test_a), ("ba", source.test_b)):
        truth = truth_files(inputs, source)
        assert truth, "the truth of these images is not known"
        translated = generators[direction].predict(images_of(inputs, 3, config), batch_size=8, verbose=0)
        errors.append(np.abs(translated - images_of(truth[0], 3, config)).mean())
    return float(np.mean(errors))


def score_run(folder: pathlib.Path, extractors: list[Extractor]) -> list[dict[str, float]]:
    """The scores and the error of each checkpoint of a run."""
    config = read_config(folder)
    source = resolve_source(config.data, default_data_dir(), print)
    source = recall_images(source, read_inventory(folder, read_record(folder)), config.data)
    own = choose_extractor("classifier", source, config.data, print, 0, default_data_dir() / CACHE)
    a, b = (images_of(paths, 3, config) for paths in (source.validation_a, source.validation_b))
    generators = {each: build_generator(config.generator, 3, 3, name=f"generator_{each}") for each in ("ab", "ba")}
    validators = {
        each.name: Validator(Images(a, b, a, b), generators["ab"], generators["ba"], each, seed=0)
        for each in (own, *extractors)
    }
    rows = []
    for step, path in list_checkpoints(folder / "checkpoints"):
        if not step:
            continue
        with np.load(path) as arrays:
            for direction, generator in generators.items():
                network = "average" if config.training.ema_decay else "generator"
                for name, variable in named_weights(generator).items():
                    variable.assign(arrays[f"{network}_{direction}/{name}"])
        row = {"step": step, "error": error_of(generators, source, config)}
        for name, validator in validators.items():
            scores = validator.scores()
            row |= {f"{key} {name}" if key in ("kid", "frechet", "share") else key: scores[key] for key in METRICS}
            for key in ("cycle L1", "cycle SSIM", "identity L1", "structure kept"):
                row[key] = (scores[f"ab/{key}"] + scores[f"ba/{key}"]) / 2
        rows.append(row)
        print(folder, {key: round(value, 4) for key, value in row.items()}, flush=True)
    return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=pathlib.Path)
    parser.add_argument("--features", nargs="*", default=[], help="more extractors, as for `cyclegan evaluate`")
    parser.add_argument("--json", type=pathlib.Path, help="also write the scores of all checkpoints here")
    options = parser.parse_args()
    size = read_config(options.runs[0]).data.crop_size
    extractors = [load_extractor(request, size) for request in options.features]
    runs = {str(folder): score_run(folder, extractors) for folder in options.runs}
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1))
    names = [name for name in next(iter(runs.values()))[0] if name not in ("step", "error")]
    last, best = (np.mean([pick(rows) for rows in runs.values()]) for pick in (_last, _best))
    print(f"\nError of the last checkpoint {last:.4f}, of the best one {best:.4f} (mean over {len(runs)} runs)\n")
    print(
        "| Metric | Spearman, mean | smallest | error of its choice | worse than the last in |\n| --- |" + " ---: |" * 4
    )
    for name in names:
        found = [
            scipy.stats.spearmanr([r[name] for r in rows], [r["error"] for r in rows])[0] for rows in runs.values()
        ]
        # The errors of the cycle and of the identity are small for good models, and similarities are large.
        sign = -1 if name in ("cycle SSIM", "structure kept") else 1
        chosen = [min(rows, key=lambda row: sign * row[name])["error"] for rows in runs.values()]
        worse = sum(error > _last(rows) for error, rows in zip(chosen, runs.values(), strict=True))
        signed = sign * np.array(found)
        print(f"| {name} | {signed.mean():.2f} | {signed.min():.2f} | {np.mean(chosen):.4f} | {worse} of {len(runs)} |")


def _last(rows: list[dict[str, float]]) -> float:
    return max(rows, key=lambda row: row["step"])["error"]


def _best(rows: list[dict[str, float]]) -> float:
    return min(row["error"] for row in rows)


if __name__ == "__main__":
    main()
