"""Distillation: generators that learn from trained ones, which are called their teachers.

The run directory holds a copy of the teachers' bundle, so that a run can be continued wherever they have gone since.
"""

import contextlib
import pathlib
import shutil
import zipfile
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from cyclegan.bundles.bundle import Bundle, load_bundle
from cyclegan.bundles.hub import SCHEME
from cyclegan.bundles.info import Direction
from cyclegan.bundles.places import INFO_FILE, find_bundle
from cyclegan.config.config import Config
from cyclegan.errors import CycleganError, UsageError
from cyclegan.networks.generators import build_generator
from cyclegan.training.checkpoints import list_checkpoints
from cyclegan.training.record import RunRecord, places_of, read_config, run_of
from cyclegan.training.run_directory import CHECKPOINTS, PLACES_OF_DATA, TEACHER
from cyclegan.training.state import State

NUM_STEPS = 10_000
"""A student is trained for this many steps by default."""

DIRECTIONS: tuple[Direction, ...] = ("ab", "ba")


def student_keys(teacher: str, given: Sequence[tuple[str, object]]) -> list[tuple[str, object]]:
    """The configuration of a run whose generators imitate others with half of their filters, as (key, value) pairs.

    Data, networks, optimizer, batches and the losses of the discriminators are those of the teachers' run. There is no
    loss of cycles and of identity, and the weights are averaged.

    Args:
        teacher: a run or a bundle, see `find_bundle`.
        given: the keys that the user has given, which are stronger.

    Raises:
        UsageError: if there is no such bundle, or if nobody says where the images are.
        CycleganError: if it cannot be downloaded.
    """
    bundle = load_bundle(teacher)
    own, chosen = _config_of(bundle), dict(given)
    keys: dict[str, object] = {
        f"{section}.{key}": value
        for section in ("data", "discriminator", "losses", "optimizer", "evaluation")
        for key, value in getattr(own, section)
    }
    keys |= {f"training.{key}": getattr(own.training, key) for key in ("batch_size", "clip_norm", "pool_size")}
    keys |= {f"generator.{key}": value for key, value in bundle.info.generator}
    keys |= {
        "generator.filters": max(1, bundle.info.generator.filters // 2),
        "losses.cycle_weight_a": 0.0,
        "losses.cycle_weight_b": 0.0,
        "losses.identity_weight": 0.0,
        "training.precision": "auto",
        "training.ema_decay": 0.999,
        "distillation.teacher": teacher,
    }
    keys = {key: value for key, value in keys.items() if key not in PLACES_OF_DATA}
    if not chosen.keys() & PLACES_OF_DATA:
        keys |= _places(bundle)
    if chosen.get("training.epochs") is None:
        keys["training.steps"] = NUM_STEPS
    return list((keys | chosen).items())


def _config_of(bundle: Bundle) -> Config:
    """The configuration that a bundle was trained with, or the defaults for its images if it does not say."""
    info = bundle.info
    if run := run_of(bundle.folder):
        return read_config(run)
    known = {"channels_a", "channels_b", "crop_size", "value_range", "max_pixels"}
    data: dict[str, object] = {key: getattr(info, key) for key in known}
    with contextlib.suppress(ValueError):  # of another version of this program
        if info.provenance.config:
            own = Config.model_validate(info.provenance.config, strict=False)
            return own.model_copy(update={"data": own.data.model_copy(update=data)})
    default = Config()
    data["load_size"] = round(info.crop_size * default.data.load_size / default.data.crop_size)
    return default.model_copy(update={"data": default.data.model_copy(update=data)})


def _places(bundle: Bundle) -> Mapping[str, str]:
    places = places_of(bundle.folder, bundle.info.provenance.dataset)
    if not places:
        raise UsageError(
            "A bundle outside of its run does not say where its images are. Give training images with --dataset DIR, or"
            f" with --domain-a and --domain-b. Received: --model {bundle.folder}."
        )
    return places


def find_teacher(config: Config, folder: pathlib.Path, record: RunRecord | None) -> Bundle | None:
    """The bundle of the teachers, if the configuration names any.

    It is the copy in the run directory for a run that is continued, and the one that the configuration names for a new
    run.

    Args:
        config: the section `distillation`, and the images that the teachers must take.
        folder: the run directory.
        record: the record of the run that is continued; None for a new run.

    Raises:
        UsageError: if there is no such bundle, if it does not fit the run, or if it is not the one with which the run
            began.
        CycleganError: if it cannot be downloaded.
    """
    request = config.distillation.teacher
    if request is None:
        return None
    kept = folder / TEACHER
    bundle = load_bundle(kept if record and (kept / INFO_FILE).is_file() else request)
    channels, size = (config.data.channels_a, config.data.channels_b), config.data.crop_size
    if set(bundle.info.weights) != set(DIRECTIONS) or bundle.info.channels("ab") != channels:
        raise UsageError(
            "`distillation.teacher` must have generators of both directions, for images with the same channels."
            f" Received: {request}, with {', '.join(sorted(bundle.info.weights))} and channels"
            f" {bundle.info.channels('ab')}."
        )
    if size % bundle.info.size_multiple or size < bundle.info.min_size:
        raise UsageError(
            f"`data.crop_size` must be a multiple of {bundle.info.size_multiple} and at least {bundle.info.min_size}"
            f" for the teachers {request}. Received: {size}."
        )
    if record and record.teachers != bundle.info.digests:
        raise UsageError(
            f"{bundle.folder} is not the bundle from which {folder} has learned so far. Put the folder {kept} back, or"
            " start a new run with `cyclegan distill`."
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
    """Copies the bundle of the teachers into a run directory, unless it is that copy.

    Raises:
        CycleganError: if it cannot be copied.
    """
    kept = folder / TEACHER
    if bundle.folder == kept:
        return
    try:
        kept.mkdir(parents=True, exist_ok=True)
        for name in [*(file.file for file in bundle.info.weights.values()), INFO_FILE]:
            shutil.copyfile(bundle.folder / name, kept / name)
    except OSError as error:
        raise CycleganError(f"{kept} cannot be written: {error.strerror}.") from error


def start_discriminators(state: State, bundle: Bundle, teacher: str, strategy: tf.distribute.Strategy) -> str:
    """Gives the discriminators of a new run what those of the teachers' run know, if it is there.

    Args:
        state: the networks of the new run.
        bundle: the bundle of the teachers.
        teacher: what the configuration calls it.
        strategy: the strategy of the new run.

    Returns:
        A line that says where the teachers are and how the discriminators start.
    """
    variables = {name: each for name, each in state.named(strategy).items() if name.startswith("discriminator_")}
    found = _discriminators_of_run(teacher, {name: tuple(variable.shape) for name, variable in variables.items()})
    for name, array in found.items():
        variables[name].assign(array)
    begin = "go on from those of the teachers" if found else "start from random weights"
    return f"The teachers are in {bundle.folder}, step {bundle.info.provenance.step}. The discriminators {begin}."


def _discriminators_of_run(teacher: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The weights in the newest usable checkpoint of the run to which a bundle belongs; none if there is none."""
    if teacher.startswith(SCHEME):
        return {}
    try:
        run = run_of(find_bundle(teacher))
    except CycleganError:  # a run that starts over may have outlived it
        return {}
    for _, path in reversed(list_checkpoints(run / CHECKPOINTS) if run else []):
        with (
            contextlib.suppress(OSError, EOFError, ValueError, zipfile.BadZipFile),
            np.load(path, allow_pickle=False) as arrays,
        ):
            found = {name: arrays[name] for name in arrays.files if name.startswith("discriminator_")}
            if {name: array.shape for name, array in found.items()} == shapes:
                return found
    return {}
