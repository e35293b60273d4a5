"""What the modules of all export formats take and return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

    from cyclegan.bundles.info import BundleInfo

Quantization = Literal["float16", "int8"]

Run = Callable[[str, Any], Any]
"""From (signature, input) to output. Formats with a single signature ignore its name."""

Runtime = tuple[str, str, Run]
"""A runtime that has loaded an export: its name, its version, and a function that runs the export."""


@dataclass(frozen=True)
class Conversion:
    """How a generator is to be written.

    Attributes:
        info: what the bundle says of the generator.
        size: height and width of the images in pixels; None: any.
        quantize: None: the weights stay in float32.
        samples: float32 [h, w, c] in [-1, 1], from which "int8" takes the ranges of the activations.
    """

    info: BundleInfo
    size: tuple[int, int] | None
    quantize: Quantization | None
    samples: Sequence[np.ndarray]
