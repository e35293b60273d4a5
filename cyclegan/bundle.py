"""A trained pair of generators on disk: architecture, preprocessing, provenance and weights; no code, no flags.

A bundle is a folder with `bundle.json` and one `.npz` of plain arrays for each direction. `bundle.json` is replaced
last and names the other files with their digests, so a reader finds the old bundle or the new one, never a mixture.
"""

import hashlib
import importlib.metadata
import json
import pathlib
import re
from typing import Annotated, Literal, Self

import keras
import pydantic

from cyclegan.config.config import Channels, Config, Count, GeneratorConfig
from cyclegan.errors import CycleganError, UsageError
from cyclegan.networks.generators import ARCHITECTURES, build_generator
from cyclegan.networks.weights import encode_weights, read_shapes, set_weights
from cyclegan.runtime.atomic_files import write_atomically

FORMAT_VERSION = 1
INFO_FILE = "bundle.json"
LARGEST_CROP = 2**16

Direction = Literal["ab", "ba"]


class WeightsFile(pydantic.BaseModel):
    """Where the weights of one direction are."""

    file: str
    sha256: str


class Provenance(pydantic.BaseModel):
    """Where a bundle comes from: for the reader, not for the program."""

    dataset: str
    fingerprint: str = ""  # of the training images, see `cyclegan.data.sources.fingerprint`
    step: int
    metrics: dict[str, float] = {}  # of training, over the last steps before the bundle was written
    config: dict
    versions: dict[str, str]
    imported_from: dict[Direction, WeightsFile] = {}  # files of another implementation


class BundleInfo(pydantic.BaseModel):
    """All that `bundle.json` says."""

    model_config = pydantic.ConfigDict(allow_inf_nan=False)

    format_version: int = FORMAT_VERSION
    generator: GeneratorConfig
    channels_a: Channels
    channels_b: Channels
    crop_size: Annotated[int, pydantic.Field(ge=1, le=LARGEST_CROP)]
    value_range: tuple[float, float] | None
    max_pixels: Count
    provenance: Provenance
    weights: dict[Direction, WeightsFile] = {}
    size_multiple: int
    min_size: int

    @pydantic.model_validator(mode="after")
    def _fits_itself(self) -> Self:
        for key in ("size_multiple", "min_size"):
            if getattr(self, key) != (expected := getattr(self.generator, key)):
                raise ValueError(f"`{key}` must be {expected} for this generator. Received: {getattr(self, key)}")
        for entry in self.weights.values():  # a bundle must not point out of its folder
            if not re.fullmatch(r"[\w.-]+\.npz", entry.file, re.ASCII):
                raise ValueError(f"`file` of weights must be the name of an .npz beside it. Received: {entry.file!r}")
        if self.value_range and not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"`value_range` must be [low, high] with low < high. Received: {list(self.value_range)}")
        return self

    def channels(self, direction: Direction) -> tuple[int, int]:
        """(channels in, channels out) of one direction."""
        pair = (self.channels_a, self.channels_b)
        return pair if direction == "ab" else pair[::-1]


def bundle_info(
    config: Config, step: int, *, fingerprint: str = "", metrics: dict[str, float] | None = None
) -> BundleInfo:
    """What a bundle of this configuration says about itself.

    Args:
        config: of the run.
        step: to which it was trained.
        fingerprint: of the training images.
        metrics: of training, by their tags in TensorBoard.
    """
    packages = ("cyclegan", "tensorflow", "keras")
    # Names of data sets travel with a bundle, places on its maker's disk do not.
    places = {
        key: pathlib.PurePath(place).name
        for key in ("dataset", "domain_a", "domain_b")
        if (place := getattr(config.data, key))
    }
    config = config.model_copy(update={"data": config.data.model_copy(update=places)})
    return BundleInfo(
        generator=config.generator,
        channels_a=config.data.channels_a,
        channels_b=config.data.channels_b,
        crop_size=config.data.crop_size,
        value_range=config.data.value_range,
        max_pixels=config.data.max_pixels,
        size_multiple=config.generator.size_multiple,
        min_size=config.generator.min_size,
        provenance=Provenance(
            dataset=config.data.dataset,
            fingerprint=fingerprint,
            step=step,
            metrics=metrics or {},
            config=config.model_dump(mode="json"),
            versions={name: importlib.metadata.version(name) for name in packages},
        ),
    )


class Bundle:
    """A bundle that has been found and read; weights are loaded by `generator`."""

    def __init__(self, folder: pathlib.Path, info: BundleInfo):
        self.folder = folder
        self.info = info

    def generator(self, direction: Direction = "ab") -> keras.Model:
        """The generator of one direction, with its weights.

        Args:
            direction: "ab" for A to B, "ba" for B to A.

        Returns:
            A model from float32 [batch, height, width, channels in] to [batch, height, width, channels out], all in
            [-1, 1].

        Raises:
            UsageError: if the bundle has no such direction.
            CycleganError: if the weights are missing or damaged.
        """
        if direction not in self.info.weights:
            known = ", ".join(sorted(self.info.weights))
            raise UsageError(f"`direction` must be one of {known} for {self.folder}. Received: {direction}.")
        entry = self.info.weights[direction]
        path = self.folder / entry.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CycleganError(f"The weights {path} cannot be read: {error.strerror}.") from error
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise CycleganError(f"The weights {path} are damaged: their SHA-256 is not the one in {INFO_FILE}.")
        shapes = read_shapes(data, path)
        _check_extent(self.info.generator, shapes, path)
        model = build_generator(self.info.generator, *self.info.channels(direction), name=f"generator_{direction}")
        set_weights(model, data, shapes, path)
        return model


def find_bundle(path: pathlib.Path) -> pathlib.Path:
    """The bundle folder that a user means by a run directory or by a bundle.

    Raises:
        UsageError: if it is neither.
    """
    for folder in (path, path / "bundle" / "last"):
        if (folder / INFO_FILE).is_file():
            return folder
    raise UsageError(
        f"{path} is neither a run with a trained model nor a bundle: there is no {INFO_FILE} in it"
        " and no bundle/last. Give a directory that `cyclegan train` has written."
    )


def load_bundle(path: str | pathlib.Path) -> Bundle:
    """Reads the bundle of a run, or a bundle.

    Raises:
        UsageError: if `path` is neither, or the bundle is of a newer format.
    """
    folder = find_bundle(pathlib.Path(path))
    try:
        content = json.loads((folder / INFO_FILE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{folder / INFO_FILE} cannot be read: {str(error).splitlines()[0]}") from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if type(version) is not int or version < 1:
        raise UsageError(
            f"{folder / INFO_FILE} cannot be read: `format_version` must be a number from 1 to {FORMAT_VERSION}."
            f" Received: {version!r}."
        )
    if version > FORMAT_VERSION:
        raise UsageError(
            f"{folder} is a bundle of format {version}; this cyclegan reads up to {FORMAT_VERSION}. Update cyclegan."
        )
    try:
        return Bundle(folder, BundleInfo.model_validate(content))
    except pydantic.ValidationError as error:
        problems = (
            f"`{'.'.join(map(str, problem['loc']))}`: {problem['msg']}" if problem["loc"] else problem["msg"]
            for problem in error.errors()
        )
        raise UsageError(f"{folder / INFO_FILE} cannot be read: {'; '.join(problems)}.") from error


def load_generator(path: str | pathlib.Path, direction: Direction = "ab") -> keras.Model:
    """The generator of a run or a bundle, ready to call.

    Args:
        path: a run directory or a bundle.
        direction: "ab" for A to B, "ba" for B to A.

    Returns:
        A model from float32 [batch, height, width, channels] in [-1, 1] to the same; height and width multiples of the
        bundle's `size_multiple` and at least its `min_size`, which are 4 and 8 for a resnet.

    Raises:
        UsageError: if `path` holds no bundle, or the bundle no such direction.
        CycleganError: if the weights are missing or damaged.
    """
    return load_bundle(path).generator(direction)


def save_bundle(folder: pathlib.Path, generators: dict[Direction, keras.Model], info: BundleInfo) -> None:
    """Writes a bundle, or replaces the one that is there.

    Args:
        folder: created where it is absent.
        generators: one or both directions.
        info: everything else; `weights` is filled in here.

    Raises:
        OSError: if it cannot be written. The old bundle, if any, is then still whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights: dict[Direction, WeightsFile] = {}
    for direction, model in generators.items():
        data = encode_weights(model)
        digest = hashlib.sha256(data).hexdigest()
        # Named by content, so that the weights that the old bundle.json names stay until it is replaced.
        name = f"generator_{direction}-{digest[:12]}.npz"
        write_atomically(folder / name, data)
        weights[direction] = WeightsFile(file=name, sha256=digest)
    info = info.model_copy(update={"weights": weights})
    write_atomically(folder / INFO_FILE, info.model_dump_json(indent=2).encode() + b"\n")
    kept = {entry.file for entry in weights.values()}
    # A process that was killed while it wrote leaves a temporary file.
    for path in [*folder.glob("generator_*.npz"), *folder.glob(".*.tmp")]:
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _check_extent(config: GeneratorConfig, shapes: dict[str, tuple[int, ...]], path: pathlib.Path) -> None:
    """Before a network is built, which takes minutes and gigabytes where a bundle claims a million blocks.

    Raises:
        CycleganError: if there are not the weights for so many blocks or filters.
    """
    kernels = [shape for key, shape in shapes.items() if key.endswith("/kernel")]
    num_layers = ARCHITECTURES[config.architecture].min_layers(config)
    if num_layers > len(kernels) or not any(config.filters in shape for shape in kernels):
        raise CycleganError(
            f"{path} does not fit the architecture: {len(kernels)} kernels are not those of {config.filters} filters"
            f" and {num_layers} or more layers, which {INFO_FILE} speaks of."
        )
