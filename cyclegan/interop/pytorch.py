"""Makes bundles of generators that the PyTorch implementation of Zhu et al. has trained."""

import hashlib
import pathlib
import shutil
from collections.abc import Mapping

from cyclegan.bundles.bundle import save_bundle
from cyclegan.bundles.info import Direction, WeightsFile, bundle_info
from cyclegan.config.config import Config
from cyclegan.config.files import load_config
from cyclegan.config.networks import GeneratorConfig
from cyclegan.errors import CycleganError, UsageError
from cyclegan.interop.reference_names import GeneratorDescription, describe_generator
from cyclegan.interop.reference_weights import set_reference_weights
from cyclegan.interop.state_dict import read_state_dict
from cyclegan.networks.generators import build_generator


def import_pytorch(files: Mapping[Direction, pathlib.Path], output: pathlib.Path, crop_size: int | None = None) -> str:
    """Reads generators from PyTorch files, and writes them as a bundle.

    Args:
        files: one file for each direction, as `torch.save(network.state_dict(), file)` writes it.
        output: the folder of the bundle; it must be new or empty.
        crop_size: the size in pixels of the crops that the generators were trained with. None: the size that the
            reference uses for generators of this depth.

    Returns:
        A description of the generators in one line, which says the size of the crops, and how to set it if it was not
        given.

    Raises:
        UsageError: if a file cannot be read or mapped, the two generators differ in their architecture, or `output`
            is not empty.
        CycleganError: if PyTorch is missing, or the bundle cannot be written.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"`--output` must be a new or empty folder. Received: {output}.")
    arrays = {direction: read_state_dict(path) for direction, path in files.items()}
    found = {direction: describe_generator(arrays[direction], str(path)) for direction, path in files.items()}
    descriptions = [one if direction == "ab" else _reversed(one) for direction, one in found.items()]
    if any(one != descriptions[0] for one in descriptions):
        raise UsageError(
            "Both generators of a bundle must have the same architecture, and the input channels of one must be the"
            " output channels of the other. Received: "
            + "; ".join(f"{files[direction]}: {one.summary()}" for direction, one in found.items())
        )
    config = descriptions[0].config
    is_assumed, crop_size = crop_size is None, crop_size or _usual_crop_size(config)
    models = {}
    for direction, path in files.items():
        models[direction] = build_generator(config, *found[direction][1:], name=f"generator_{direction}")
        set_reference_weights(models[direction], arrays[direction], config, str(path))

    info = bundle_info(_config_of(descriptions[0], files, crop_size), step=0)
    info.provenance.config = {}  # the files do not say how the generators were trained
    info.provenance.imported_from = {
        direction: WeightsFile(file=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for direction, path in files.items()
    }
    is_new = not output.exists()
    try:
        save_bundle(output, models, info)
    except BaseException as error:
        # The next attempt needs an empty folder.
        for path in output.glob("generator_*.npz"):
            path.unlink(missing_ok=True)
        if is_new:
            shutil.rmtree(output, ignore_errors=True)
        if isinstance(error, OSError):
            raise CycleganError(f"The bundle {output} cannot be written: {error.strerror}.") from error
        raise
    summary = f"{descriptions[0].summary()}, crops of {crop_size} pixels in training"
    return f"{summary} (assumed, because the file does not say it; `--crop-size` sets it)" if is_assumed else summary


def _reversed(description: GeneratorDescription) -> GeneratorDescription:
    return GeneratorDescription(description.config, description.channels_out, description.channels_in)


def _usual_crop_size(generator: GeneratorConfig) -> int:
    """The size of the crops that the reference uses for generators of this depth."""
    if generator.architecture == "unet":
        return generator.size_multiple
    return 256 if generator.num_blocks >= 9 else 128


def _config_of(description: GeneratorDescription, files: Mapping[Direction, pathlib.Path], crop_size: int) -> Config:
    generator = description.config
    return load_config(
        None,
        [
            *((f"generator.{key}", value) for key, value in generator.model_dump().items()),
            ("data.dataset", "+".join(path.stem for path in files.values())),
            ("data.channels_a", description.channels_in),
            ("data.channels_b", description.channels_out),
            ("data.load_size", crop_size),
            ("data.crop_size", crop_size),
            ("losses.identity_weight", 0.5 if description.channels_in == description.channels_out else 0.0),
            ("discriminator.architecture", "pixel"),  # unused, but it must be valid: this one fits every crop size
        ],
    )
