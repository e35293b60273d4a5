"""The part of the Inception features that runs in a process of its own.

Some builds of torch and TensorFlow crash when both are loaded into one process. Nothing here imports TensorFlow.
"""

import functools
import pathlib
from typing import Any

import numpy as np

LAYER = "2048"
"""The layer whose values are compared: the last pooled one."""

BATCH = 16


def find_weights() -> tuple[str, pathlib.Path]:
    """The address of the weights, and the file in the folder of torch.hub in which they are kept.

    Raises:
        ImportError: if torch-fidelity is not installed.
        RuntimeError: if its torchvision does not fit torch.
    """
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return URL_INCEPTION_V3, pathlib.Path(torch.hub.get_dir()) / "checkpoints" / URL_INCEPTION_V3.rpartition("/")[2]


def compute_features(weights: str, images: np.ndarray) -> np.ndarray:
    """The features of images, which are rounded to 8 bits, as those of published scores are.

    Args:
        weights: the file of the weights. It is a pickle, so it must be one that can be trusted.
        images: float32 [n, height, width, 3] in [-1, 1].

    Returns:
        float32 [n, 2048].
    """
    import torch

    pixels = np.rint((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8).transpose(0, 3, 1, 2)
    parts = []
    with torch.no_grad():
        for start in range(0, len(pixels), BATCH):
            (features,) = _network(weights)(torch.from_numpy(np.ascontiguousarray(pixels[start : start + BATCH])))
            parts.append(features.numpy())
    return np.concatenate(parts)


@functools.lru_cache(maxsize=1)
def _network(weights: str) -> Any:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3("inception", [LAYER], feature_extractor_weights_path=weights)
