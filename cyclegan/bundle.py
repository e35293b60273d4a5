"""A trained pair of generators on disk: architecture, preprocessing, provenance and weights, but no code.

A bundle is a folder with `bundle.json` and one `.npz` file of plain arrays for each direction. `bundle.json` names the
other files with their digests and is replaced last, so that a reader finds either the old bundle or the new one. The
weights of the old one stay until the next replacement, for readers that have read its `bundle.json` already.
"""

import hashlib
import importlib.metadata
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import keras
import numpy as np
import pydantic

from cyclegan.config.config import Config
from cyclegan.config.networks import GeneratorConfig
from cyclegan.config.sections import Channels, Count
from cyclegan.errors import CycleganError, UsageError
from cyclegan.networks.generators import ARCHITECTURES, build_generator
from cyclegan.networks.weights import encode_weights, read_shapes, set_weights, weight_arrays
from cyclegan.runtime.atomic_files import write_atomically

FORMAT_VERSION = 1
INFO_FILE = "bundle.json"
LARGEST_CROP = 2**16

Direction = Literal["ab", "ba"]


class WeightsFile(pydantic.BaseModel):
    """The file that holds the weights of one direction, or that they came from."""

    file: str
    sha256: str


class Provenance(pydantic.BaseModel):
    """Where a bundle comes from, for people. The program reads `step` alone, to see whether a run has a newer one."""

    dataset: str
    fingerprint: str = ""  # of the training images, from `cyclegan.data.inventory.fingerprint`
    step: int
    metrics: dict[str, float] = {}  # of training, over the last steps before the bundle
    config: dict[str, Any]
    versions: dict[str, str]
    imported_from: dict[Direction, WeightsFile] = {}  # files of another implementation


class BundleInfo(pydantic.BaseModel):
    """The content of `bundle.json`."""

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
    def _is_consistent(self) -> Self:
        for key in ("size_multiple", "min_size"):
            if getattr(self, key) != (expected := getattr(self.generator, key)):
                raise ValueError(f"`{key}` must be {expected} for this generator. Received: {getattr(self, key)}")
        for entry in self.weights.values():  # a bundle must not name files outside its folder
            if not re.fullmatch(r"[\w.-]+\.npz", entry.file, re.ASCII):
                raise ValueError(
                    f"`file` must be the name of an .npz file in the same folder. Received: {entry.file!r}"
                )
        if self.value_range and not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"`value_range` must be [low, high] with low < high. Received: {list(self.value_range)}")
        return self

    def channels(self, direction: Direction) -> tuple[int, int]:
        """The numbers of channels (in, out) of one direction."""
        pair = (self.channels_a, self.channels_b)
        return pair if direction == "ab" else pair[::-1]


def bundle_info(
    config: Config, step: int, *, fingerprint: str = "", metrics: dict[str, float] | None = None
) -> BundleInfo:
    """The content of `bundle.json` for a run, without the files of the weights.

    Args:
        config: configuration of the run.
        step: number of completed training steps.
        fingerprint: digest of the names and sizes of the training images.
        metrics: metrics of the training under their TensorBoard tags.
    """
    packages = ("cyclegan", "tensorflow", "keras")
    # A bundle may be given to others, so it keeps only the last part of the paths of the training images.
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
    """A bundle whose `bundle.json` has been read. `generator` loads the weights."""

    def __init__(self, folder: pathlib.Path, info: BundleInfo):
        self.folder = folder
        self.info = info

    def generator(self, direction: Direction = "ab") -> keras.Model:
        """The generator of one direction, with its weights.

        Args:
            direction: "ab" for A to B, "ba" for B to A.

        Returns:
            A model from float32 [batch, height, width, channels in] to float32 [batch, height, width, channels out].
            All values are in [-1, 1].

        Raises:
            UsageError: if the bundle does not have this direction.
            CycleganError: if the weights are missing or damaged.
        """
        if direction not in self.info.weights:
            known = ", ".join(sorted(self.info.weights))
            raise UsageError(f"`direction` must be one of {known} for the bundle {self.folder}. Received: {direction}.")
        entry = self.info.weights[direction]
        path = self.folder / entry.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CycleganError(f"The weights {path} cannot be read: {error.strerror}.") from error
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise CycleganError(f"The weights {path} are damaged: their SHA-256 differs from the one in {INFO_FILE}.")
        shapes = read_shapes(data, path)
        _check_extent(self.info.generator, shapes, path)
        model = build_generator(self.info.generator, *self.info.channels(direction), name=f"generator_{direction}")
        set_weights(model, data, shapes, path)
        return model


def find_bundle(path: pathlib.Path) -> pathlib.Path:
    """The folder of the bundle: `path` itself or, if it is a run directory, `bundle/last` in it.

    Raises:
        UsageError: if `path` is neither a bundle nor the directory of a run with a bundle.
    """
    for folder in (path, path / "bundle" / "last"):
        if (folder / INFO_FILE).is_file():
            return folder
    raise UsageError(
        f"{path} is neither a run with a trained model nor a bundle: it contains neither {INFO_FILE} nor a bundle in"
        " bundle/last. Give a directory that `cyclegan train` has written."
    )


def load_bundle(path: str | pathlib.Path) -> Bundle:
    """Reads a bundle.

    Args:
        path: a bundle, or the directory of a run.

    Raises:
        UsageError: if there is no bundle, if `bundle.json` is not valid, or if its format is newer than this program.
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
            f"{folder} is a bundle of format {version}, but this version of cyclegan reads formats up to"
            f" {FORMAT_VERSION}. Update cyclegan."
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
    """A trained generator, ready to call.

    Args:
        path: a bundle, or the directory of a run.
        direction: "ab" for A to B, "ba" for B to A.

    Returns:
        A model from float32 [batch, height, width, channels] in [-1, 1] to images of the same size and range. Height
        and width must be multiples of the bundle's `size_multiple` and at least its `min_size`. For a resnet these are
        4 and 8.

    Raises:
        UsageError: if there is no valid bundle at `path`, or the bundle does not have this direction.
        CycleganError: if the weights are missing or damaged.
    """
    return load_bundle(path).generator(direction)


def save_bundle(folder: pathlib.Path, generators: Mapping[Direction, keras.Model], info: BundleInfo) -> None:
    """Writes a bundle of one or both generators as `write_bundle` does."""
    write_bundle(folder, {direction: weight_arrays(model) for direction, model in generators.items()}, info)


def write_bundle(folder: pathlib.Path, weights: Mapping[Direction, Mapping[str, np.ndarray]], info: BundleInfo) -> None:
    """Writes a bundle, or replaces an existing one, whose weights stay until the bundle is replaced again.

    Args:
        folder: folder of the bundle, which is created if it does not exist.
        weights: the weights of one or both generators, as `weight_arrays` returns them.
        info: the content of `bundle.json`, except `weights`.

    Raises:
        OSError: if the bundle cannot be written. An existing bundle is then still complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = _named_files(folder)
    files: dict[Direction, WeightsFile] = {}
    for direction, arrays in weights.items():
        data = encode_weights(arrays)
        digest = hashlib.sha256(data).hexdigest()
        # The name contains the digest, so the files of the old bundle stay until its bundle.json is replaced.
        name = f"generator_{direction}-{digest[:12]}.npz"
        write_atomically(folder / name, data)
        files[direction] = WeightsFile(file=name, sha256=digest)
    info = info.model_copy(update={"weights": files})
    write_atomically(folder / INFO_FILE, info.model_dump_json(indent=2).encode() + b"\n")
    kept |= {entry.file for entry in files.values()}
    # A process that is killed while it writes leaves a temporary file.
    for path in [*folder.glob("generator_*.npz"), *folder.glob(".*.tmp")]:
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _named_files(folder: pathlib.Path) -> set[str]:
    """The files that the `bundle.json` in a folder names; none if it is missing or damaged."""
    try:
        return {entry.file for entry in load_bundle(folder).info.weights.values()}
    except UsageError:
        return set()


def _check_extent(config: GeneratorConfig, shapes: dict[str, tuple[int, ...]], path: pathlib.Path) -> None:
    """Checks that a file has kernels for as many layers and filters as the configuration says.

    This happens before the network is built: a bundle that claims a million blocks would take minutes and gigabytes.

    Raises:
        CycleganError: if the file has too few kernels, or none with as many filters.
    """
    kernels = [shape for key, shape in shapes.items() if key.endswith("/kernel")]
    num_layers = ARCHITECTURES[config.architecture].min_layers(config)
    if num_layers > len(kernels) or not any(config.filters in shape for shape in kernels):
        raise CycleganError(
            f"{path} does not fit the architecture: {INFO_FILE} says that there are at least {num_layers} layers and"
            f" {config.filters} filters. Received: {len(kernels)} kernels that do not fit this."
        )
