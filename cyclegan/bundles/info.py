"""What `bundle.json` says: the architecture, the preprocessing, the files of the weights, and where they come from."""

import importlib.metadata
import pathlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic

from cyclegan.config.config import Config
from cyclegan.config.networks import GeneratorConfig
from cyclegan.config.sections import Channels, Count

FORMAT_VERSION = 1
LARGEST_CROP = 2**16

WEIGHTS_NAME = re.compile(r"[\w.-]+\.npz", re.ASCII)
"""The names that a bundle may give to its weights, which lie beside it."""

Direction = Literal["ab", "ba"]


class WeightsFile(pydantic.BaseModel):
    """The file that holds the weights of one direction, or that they came from."""

    file: str
    sha256: str


class Provenance(pydantic.BaseModel):
    """Where a bundle comes from, for people.

    The program reads `step` and `validation`, to see whether a run has a newer or a better one.
    """

    dataset: str
    fingerprint: str = ""  # of the training images, from `cyclegan.data.inventory.fingerprint`
    step: int
    metrics: dict[str, float] = {}  # of training, over the last steps before the bundle
    validation: dict[str, float] = {}  # scores on the validation images, if the bundle is one that was chosen by them
    validation_protocol: str = ""  # scores of different protocols must not be compared
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
            if not WEIGHTS_NAME.fullmatch(entry.file):
                raise ValueError(
                    f"`file` must be the name of an .npz file in the same folder. Received: {entry.file!r}"
                )
        if self.value_range and not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"`value_range` must be [low, high] with low < high. Received: {list(self.value_range)}")
        return self

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of the weights of each direction."""
        return {direction: file.sha256 for direction, file in self.weights.items()}

    def channels(self, direction: Direction) -> tuple[int, int]:
        """The numbers of channels (in, out) of one direction."""
        pair = (self.channels_a, self.channels_b)
        return pair if direction == "ab" else pair[::-1]


def bundle_info(
    config: Config,
    step: int,
    *,
    fingerprint: str = "",
    metrics: Mapping[str, float] | None = None,
    validation: Mapping[str, float] | None = None,
    validation_protocol: str = "",
) -> BundleInfo:
    """The content of `bundle.json` for a run, without the files of the weights.

    Args:
        config: configuration of the run.
        step: number of completed training steps.
        fingerprint: digest of the names and sizes of the training images.
        metrics: metrics of the training under their TensorBoard tags.
        validation: scores on the validation images.
        validation_protocol: says how these were made.
    """
    packages = ("cyclegan", "tensorflow", "keras")
    # A bundle may be given to others, so it keeps only the last part of each path.
    places = {
        key: pathlib.PurePath(place).name
        for key in ("dataset", "domain_a", "domain_b")
        if (place := getattr(config.data, key))
    }
    features = config.evaluation.features and pathlib.PurePath(config.evaluation.features).name
    teacher = config.distillation.teacher and pathlib.PurePath(config.distillation.teacher).name
    config = config.model_copy(
        update={
            "data": config.data.model_copy(update=places),
            "evaluation": config.evaluation.model_copy(update={"features": features}),
            "distillation": config.distillation.model_copy(update={"teacher": teacher}),
        }
    )
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
            metrics=dict(metrics or {}),
            validation=dict(validation or {}),
            validation_protocol=validation_protocol,
            config=config.model_dump(mode="json"),
            versions={name: importlib.metadata.version(name) for name in packages},
        ),
    )
