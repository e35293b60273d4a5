"""Distillation: generators that learn from trained ones, which are called their teachers.

The run directory holds a copy of the teachers' bundle, so that a run can be continued wherever they have gone since.
"""

import pathlib
import zipfile

import keras
import numpy as np
import tensorflow as tf

from cyclegan.bundles.bundle import Bundle, load_bundle, save_bundle
from cyclegan.bundles.info import Direction
from cyclegan.config.config import Config
from cyclegan.errors import CycleganError, UsageError
from cyclegan.networks.generators import build_generator
from cyclegan.training.checkpoints import list_checkpoints
from cyclegan.training.record import RECORD_FILE, read_config
from cyclegan.training.run_directory import CHECKPOINTS
from cyclegan.training.state import State

TEACHER = "teacher"
"""The folder of a run that holds the copy."""

NUM_STEPS = 10_000
"""A student is trained for so many steps unless it is told otherwise."""

DIRECTIONS: tuple[Direction, ...] = ("ab", "ba")


def student_keys(teacher: str) -> list[tuple[str, object]]:
    """The configuration of a run whose generators imitate others with half of their filters, as (key, value) pairs.

    It is that of the teachers' run, without the losses of cycles and of identity, and with averaged weights.

    Args:
        teacher: a run or a bundle, see `find_bundle`.

    Raises:
        UsageError: if there is none.
        CycleganError: if it cannot be downloaded.
    """
    bundle = load_bundle(teacher)
    run = bundle.folder.parent.parent
    if (run / RECORD_FILE).is_file():
        own = read_config(run)  # it knows where the images are
    else:
        own = Config.model_validate(bundle.info.provenance.config, strict=False)
    keys: dict[str, object] = {
        f"{section}.{key}": value
        for section in ("data", "discriminator", "optimizer", "evaluation")
        for key, value in getattr(own, section)
    }
    keys |= {f"generator.{key}": value for key, value in bundle.info.generator}
    return list(
        (
            keys
            | {
                "generator.filters": max(1, bundle.info.generator.filters // 2),
                "losses.adversarial": own.losses.adversarial,
                "losses.cycle_weight_a": 0.0,
                "losses.cycle_weight_b": 0.0,
                "losses.identity_weight": 0.0,
                "training.steps": NUM_STEPS,
                "training.precision": "auto",
                "training.ema_decay": 0.999,
                "distillation.teacher": teacher,
            }
        ).items()
    )


def find_teacher(config: Config, folder: pathlib.Path) -> Bundle | None:
    """The bundle of the teachers: the copy in the run directory, or the one that the configuration names, if any.

    Args:
        config: the section `distillation`, and the channels that the teachers must have.
        folder: the run directory.

    Raises:
        UsageError: if there is no such bundle, or if it does not fit the run.
        CycleganError: if it cannot be downloaded.
    """
    request = config.distillation.teacher
    if request is None:
        return None
    kept = folder / TEACHER
    bundle = load_bundle(kept if kept.is_dir() else request)
    channels = config.data.channels_a, config.data.channels_b
    if set(bundle.info.weights) != set(DIRECTIONS) or bundle.info.channels("ab") != channels:
        raise UsageError(
            "`distillation.teacher` must have generators of both directions, for images with the same channels."
            f" Received: {request}, with {', '.join(sorted(bundle.info.weights))} and channels"
            f" {bundle.info.channels('ab')}."
        )
    return bundle


def build_teachers(bundle: Bundle, config: Config, strategy: tf.distribute.Strategy) -> tuple[keras.Model, keras.Model]:
    """The generators ab and ba of a bundle, in the precision of a run.

    Raises:
        CycleganError: if the weights are missing or damaged.
    """
    built = []
    for direction in DIRECTIONS:
        weights = bundle.generator(direction).get_weights()
        with strategy.scope():
            teacher = build_generator(
                bundle.info.generator,
                *bundle.info.channels(direction),
                name=f"teacher_{direction}",
                dtype=config.training.precision,
            )
            teacher.set_weights(weights)
        built.append(teacher)
    return built[0], built[1]


def keep_teacher(bundle: Bundle, folder: pathlib.Path) -> None:
    """Copies the bundle of the teachers into a run directory, if it is not there yet.

    Raises:
        CycleganError: if it cannot be written.
    """
    kept = folder / TEACHER
    if bundle.folder == kept:
        return
    try:
        save_bundle(kept, {direction: bundle.generator(direction) for direction in DIRECTIONS}, bundle.info)
    except OSError as error:
        raise CycleganError(f"{kept} cannot be written: {error.strerror}.") from error


def start_discriminators(state: State, bundle: Bundle, strategy: tf.distribute.Strategy) -> str:
    """Gives the discriminators of a new run what those of the teachers' run know, if it is there. Returns a line."""
    found = _discriminators_of_run(bundle.folder)
    variables = {name: each for name, each in state.named(strategy).items() if name.startswith("discriminator_")}
    fits = {name: array.shape for name, array in found.items()} == {
        name: tuple(variable.shape) for name, variable in variables.items()
    }
    if fits:
        for name, variable in variables.items():
            variable.assign(found[name])
    begin = "go on from those of the teachers" if fits else "start from random weights"
    return f"The teachers are in {bundle.folder}, step {bundle.info.provenance.step}. The discriminators {begin}."


def _discriminators_of_run(bundle: pathlib.Path) -> dict[str, np.ndarray]:
    """The weights in the newest checkpoint of the run to which a bundle belongs; none if there is none to be read."""
    checkpoints = list_checkpoints(bundle.parent.parent / CHECKPOINTS) if bundle.parent.name == "bundle" else []
    try:
        with np.load(checkpoints[-1][1], allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files if name.startswith("discriminator_")}
    except (IndexError, OSError, ValueError, zipfile.BadZipFile):
        return {}
