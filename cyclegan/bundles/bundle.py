"""A trained pair of generators on disk: architecture, preprocessing, provenance and weights, but no code.

A bundle is a folder with `bundle.json` and one `.npz` file of plain arrays for each direction. `bundle.json` names the
other files with their digests and is replaced last, so that a reader finds either the old bundle or the new one. The
weights of the old one stay until the next replacement, for readers that have read its `bundle.json` already.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping

import keras
import numpy as np
import pydantic

from cyclegan.bundles.info import FORMAT_VERSION, BundleInfo, Direction, WeightsFile
from cyclegan.bundles.places import INFO_FILE, Which, find_bundle
from cyclegan.config.networks import GeneratorConfig
from cyclegan.errors import CycleganError, UsageError
from cyclegan.networks.generators import ARCHITECTURES, build_generator
from cyclegan.networks.weights import encode_weights, read_shapes, set_weights, weight_arrays
from cyclegan.runtime.atomic_files import write_atomically


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


def load_bundle(path: str | pathlib.Path, which: Which | None = None) -> Bundle:
    """Reads a bundle.

    Args:
        path: a bundle, the directory of a run, a name or an address, see `find_bundle`.
        which: which bundle of a run, see `find_bundle`.

    Raises:
        CycleganError: if it cannot be downloaded.
        UsageError: if there is no bundle, if `bundle.json` is not valid, or if its format is newer than this program.
    """
    folder = find_bundle(path, which)
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
        path: a bundle, the directory of a run, a name or an address, see `find_bundle`.
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
