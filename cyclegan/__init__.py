"""Unpaired image-to-image translation with CycleGAN in TensorFlow.

The public API is loaded when it is first used, so that `import cyclegan` is quick:

    cyclegan.Translator        a trained generator as a function of images of any size
    cyclegan.load_generator    a trained generator as a Keras model, read from a run or a bundle
    cyclegan.train             trains a model, as the command `cyclegan train` does
"""

import importlib
from typing import Any

__version__ = "0.2.0.dev0"
__all__ = ["Translator", "__version__", "load_generator", "train"]

_HOMES = {
    "Translator": "cyclegan.translation.translator",
    "load_generator": "cyclegan.bundles.bundle",
    "train": "cyclegan.training.session",
}

_WITH_TENSORFLOW = {"Translator", "load_generator"}
"""Their modules import TensorFlow, which would print a page of lines; `train` imports it when it is called."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _WITH_TENSORFLOW:
        importlib.import_module("cyclegan.runtime.startup").import_tensorflow()
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
