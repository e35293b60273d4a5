"""The Inception network of 2015, whose distances are the FID and the KID of publications, by torch-fidelity.

Source: Szegedy et al. 2016, with the weights of the TensorFlow release of December 2015, which Heusel et al. 2017 and
Binkowski et al. 2018 use.
"""

import concurrent.futures
import hashlib
import multiprocessing
import pathlib
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import numpy as np

from cyclegan.errors import CycleganError, UsageError, first_line
from cyclegan.evaluation import inception_network
from cyclegan.evaluation.features import INCEPTION, Extractor, Features
from cyclegan.runtime.atomic_files import open_atomically

WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

TIMEOUT_SECONDS = 20


def load_inception() -> Extractor:
    """The network, with its weights from the folder of torch.hub, to which they are downloaded if they are not there.

    It runs in a process of its own.

    Raises:
        UsageError: if torch-fidelity is not installed.
        CycleganError: if the weights cannot be had, or are not those that publications use.
    """
    process = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def call(function: Callable[..., Any], *arguments: object) -> Any:
        try:
            return process.submit(function, *arguments).result()
        except concurrent.futures.BrokenExecutor as error:
            raise CycleganError("The process of the Inception network has crashed, or was out of memory.") from error

    try:
        url, path = call(inception_network.find_weights)
    except (ImportError, RuntimeError) as error:
        raise UsageError(
            f"`--features inception` needs the extra `fid`: pip install 'cyclegan[fid]' ({first_line(error)})"
        ) from error
    fetch(url, path)
    digest = verify(path)

    def compute(images: np.ndarray) -> Features:
        return Features(call(inception_network.compute_features, str(path), images), None)

    return Extractor(INCEPTION, digest, compute)


def fetch(url: str, path: pathlib.Path) -> None:
    """Downloads the weights if they are not there.

    Raises:
        CycleganError: if that fails.
    """
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer, open_atomically(path) as file:
            while block := answer.read(2**20):
                file.write(block)
    except (OSError, urllib.error.URLError) as error:
        raise CycleganError(
            f"The weights of the Inception network cannot be downloaded: {first_line(error)}. Without a network, put"
            f" the file {url} at {path}. SWD needs no weights, and other --features may be there."
        ) from error


def verify(path: pathlib.Path) -> str:
    """The SHA-256 of the weights, which are a pickle and could do anything once they are loaded.

    Raises:
        CycleganError: if they are not those of 2015.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CycleganError(f"The weights {path} cannot be read: {error.strerror}.") from error
    if digest != WEIGHTS_SHA256:
        raise CycleganError(
            f"{path} does not hold the weights of 2015: its SHA-256 is {digest}, and must be {WEIGHTS_SHA256}. Delete"
            " it, and it is downloaded again."
        )
    return digest
