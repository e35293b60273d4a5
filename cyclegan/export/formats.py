"""The table of export formats.

Each format is one module with a function that writes it and, unless it holds weights alone, one that loads it with its
own runtime. To add a format, write such a module, give it an entry here, and name its packages as an extra in
setup.cfg. The table is read for `--help`: the modules import libraries when their functions are called.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cyclegan.export import keras_file, litert, onnx_file, pytorch_file, saved_model
from cyclegan.export.conversion import Conversion, Quantization, Runtime

if TYPE_CHECKING:
    import keras

    from cyclegan.bundles.info import BundleInfo


@dataclass(frozen=True)
class Format:
    """One export format.

    Attributes:
        summary: what the file is for, as one line of `cyclegan export --help`.
        suffix: the usual end of the file's name; empty where the export is a folder.
        write: writes a model to a new path. The model maps float32 [batch, height, width, channels] in [-1, 1] to the
            same. Any exception may be raised.
        load: loads an export with its own runtime. It runs in a process of its own that does not import this package.
            None: the file holds weights alone, so it has no size and cannot be run.
        packages: the packages that `write` and `load` import beside the core; the extra has the name of the format.
        requires_suffix: whether the name of the file must end in `suffix`.
        quantizations: the values of `--quantize` that the format can do.
        upsamplings_of_fixed_size: the values of `generator.upsampling` with which the size cannot stay open.
        names_own_layers: whether the file is loaded only where the layers of this package are installed, if the
            generator has any of them.
        check_bundle: raises `UsageError` if the format cannot hold the generators of a bundle.
        check_run: compares signatures that take other inputs than "float32", see `saved_model.check_run`.
    """

    summary: str
    suffix: str
    write: Callable[[keras.Model, pathlib.Path, Conversion], None]
    load: Callable[[str], Runtime] | None
    packages: tuple[str, ...] = ()
    requires_suffix: bool = True
    quantizations: tuple[Quantization, ...] = ()
    upsamplings_of_fixed_size: tuple[str, ...] = ()
    names_own_layers: bool = False
    check_bundle: Callable[[BundleInfo], None] | None = None
    check_run: Callable[..., None] | None = None


FORMATS = {
    "keras": Format(
        summary="a file for keras.saving.load_model (.keras)",
        suffix=".keras",
        write=keras_file.write,
        load=keras_file.load,
        names_own_layers=True,
    ),
    "savedmodel": Format(
        summary="a folder for TensorFlow and TensorFlow Serving; also takes 8-bit and encoded images",
        suffix="",
        write=saved_model.write,
        load=saved_model.load,
        check_bundle=saved_model.check_bundle,
        check_run=saved_model.check_run,
    ),
    "litert": Format(
        summary="a file for phones and small devices (.tflite); needs the extra `litert`",
        suffix=".tflite",
        write=litert.write,
        load=litert.load,
        packages=("ai_edge_litert",),
        quantizations=("float16", "int8"),
        # LiteRT does not know the number of channels after pixels are repeated, if the size is open.
        upsamplings_of_fixed_size=("bilinear", "nearest"),
    ),
    "onnx": Format(
        summary="a file for ONNX Runtime, also in browsers (.onnx); needs the extra `onnx`",
        suffix=".onnx",
        write=onnx_file.write,
        load=onnx_file.load,
        packages=("onnx", "tf2onnx", "onnxruntime"),
    ),
    "pytorch": Format(
        summary="weights for the PyTorch implementation, not compared; needs the extra `pytorch`",
        suffix=".pth",
        write=pytorch_file.write,
        load=None,
        packages=("torch",),
        requires_suffix=False,
        check_bundle=pytorch_file.check_bundle,
    ),
}
