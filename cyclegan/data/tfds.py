"""Data sets of TensorFlow Datasets: download them, and write their images as files."""

import pathlib
import shutil
import sys
import threading
from collections.abc import Callable
from typing import Any

from cyclegan.data.listing import SPLITS
from cyclegan.errors import CycleganError
from cyclegan.runtime.atomic_files import AN_HOUR, remove_litter, remove_litter_of, temporary_beside
from cyclegan.runtime.startup import import_tensorflow

TFDS_NAMES = (
    "apple2orange", "summer2winter_yosemite", "horse2zebra", "monet2photo", "cezanne2photo",
    "ukiyoe2photo", "vangogh2photo", "maps", "facades", "iphone2dslr_flower",
)  # fmt: skip
"""Names of the configurations of `cycle_gan` in TensorFlow Datasets."""


SECONDS_TO_ANSWER = 15


def has_tfds(name: str, data_dir: pathlib.Path) -> bool:
    """Whether the image files of a data set are on disk."""
    return (data_dir / name).is_dir()


def prepare_tfds(name: str, data_dir: pathlib.Path, report: Callable[[str], None]) -> pathlib.Path:
    """Writes the images of a data set, without encoding them again, to the folder `data_dir/name`.

    Nothing is downloaded if the official zip is in `data_dir/tensorflow_datasets/downloads/manual`.

    Args:
        name: one of `TFDS_NAMES`.
        data_dir: the folder where data sets are kept. If it has a folder `name`, that is returned as it is.
        report: called with one line before a download.

    Returns:
        The folder `data_dir/name`.

    Raises:
        CycleganError: if the data set cannot be downloaded, unpacked or written.
    """
    folder = data_dir / name
    if has_tfds(name, data_dir):
        return folder

    import_tensorflow()  # TensorFlow Datasets imports it too, but not quietly
    import requests
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    builder = tfds.builder(f"cycle_gan/{name}", data_dir=data_dir / "tensorflow_datasets")
    url, url_info = next(item for item in builder.url_infos.items() if item[0].endswith(f"/{name}.zip"))
    manual_zip = data_dir / "tensorflow_datasets/downloads/manual" / f"{name}.zip"
    # TFDS leaves files behind after a failure. In a separate folder for each data set they can be deleted safely.
    own_downloads = data_dir / "tensorflow_datasets/downloads" / name
    has_zip = manual_zip.exists() or any(own_downloads.glob("*/*.zip"))
    if not builder.data_path.exists() and not has_zip:
        if problem := _download_problem(url):  # TFDS itself would try again for minutes
            raise _cannot_download(name, url, problem, manual_zip)
        report(f"Downloading {name}, {url_info.size}, from {url}.")
    temporary = temporary_beside(folder)
    remove_litter_of(folder)
    if own_downloads.is_dir():  # another process may be downloading there
        remove_litter(own_downloads, AN_HOUR, "**/*.tmp.*")
    try:
        builder.download_and_prepare(
            download_dir=own_downloads,
            download_config=tfds.download.DownloadConfig(
                extract_dir=temporary / "extracted", manual_dir=manual_zip.parent, try_download_gcs=False
            ),
        )
        _write_encoded(builder, temporary / "images")
        (temporary / "images").replace(folder)
        shutil.rmtree(own_downloads, ignore_errors=True)  # the records of the builder hold all images
    except (requests.RequestException, tfds.download.DownloadError) as error:
        raise _cannot_download(name, url, type(error).__name__, manual_zip) from error
    except Exception as error:  # of many types, some not public: a damaged zip, a wrong zip, a full disk
        if has_tfds(name, data_dir):  # another process has prepared the same data set
            return folder
        reason = " ".join(str(error).split()) or type(error).__name__
        hint = f" {manual_zip} must be the file of {url}." if manual_zip.exists() else ""
        raise CycleganError(f"Cannot prepare {name} in {data_dir}: {reason}.{hint}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _download_problem(url: str) -> str | None:
    """Says why a file cannot be downloaded; None if the server starts to send it."""
    import requests

    outcome: list[str | None] = [f"no answer within {SECONDS_TO_ANSWER} s"]

    def ask() -> None:
        try:
            with requests.get(url, stream=True, timeout=SECONDS_TO_ANSWER) as response:
                outcome[0] = None if response.ok else f"HTTP {response.status_code}"
        except requests.RequestException as error:
            outcome[0] = type(error).__name__

    # The timeout of a request holds for each address of the host separately, and does not cover the name lookup.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS_TO_ANSWER)
    return outcome[0]


def _cannot_download(name: str, url: str, problem: str, manual_zip: pathlib.Path) -> CycleganError:
    return CycleganError(
        f"Cannot download {name} ({problem}). Download {url} on another machine, copy it to {manual_zip}, and run this"
        " command again, or train on a folder that holds trainA and trainB: cyclegan train --dataset DIR"
    )


def _write_encoded(builder: Any, folder: pathlib.Path) -> None:
    """Writes the images of each split, numbered in the order of the records, which have no file names."""
    import tensorflow_datasets as tfds

    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        examples = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
        for index, example in enumerate(tfds.as_numpy(examples)):
            suffix = "png" if example["image"].startswith(b"\x89PNG") else "jpg"
            (folder / split / f"{index:05d}.{suffix}").write_bytes(example["image"])
