"""Bundles on the Hugging Face Hub."""

import contextlib
import json
import pathlib
import re
from typing import Any

from cyclegan.bundles.info import WEIGHTS_NAME
from cyclegan.errors import CycleganError, UsageError, first_line

SCHEME = "hf://"

_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)


def fetch(address: str, info_file: str, card_file: str) -> pathlib.Path:
    """Downloads a bundle, unless it was downloaded before, and returns its folder.

    All its files are those of one commit. The digests of the weights are compared with those in the bundle when they
    are loaded. A revision that is the hash of a commit always means the same files.

    Args:
        address: hf://owner/name, or hf://owner/name@revision.
        info_file: the name of the file that names the weights.
        card_file: the name of a file that a bundle need not have.

    Raises:
        UsageError: if the address has another form, if there is no such bundle, or if the extra is not installed.
        CycleganError: if it cannot be downloaded.
    """
    match = _ADDRESS.fullmatch(address)
    if not match:
        raise _wrong_address(address)
    name, revision = match.groups()
    info = _download(address, name, revision, info_file)
    commit = info.parent.name  # the branch may move while the others are downloaded
    for file in _weights(info):
        _download(address, name, commit, file)
    with contextlib.suppress(CycleganError):
        _download(address, name, commit, card_file)
    return info.parent


def _download(address: str, name: str, revision: str | None, file: str) -> pathlib.Path:
    try:
        import huggingface_hub
        import huggingface_hub.errors as errors
    except ImportError as error:
        raise UsageError(
            "Models from the Hugging Face Hub need the extra `hub`: pip install 'cyclegan[hub]'"
        ) from error
    try:
        return pathlib.Path(huggingface_hub.hf_hub_download(name, file, revision=revision))
    except errors.HFValidationError as error:
        raise _wrong_address(address) from error
    except errors.LocalEntryNotFoundError as error:  # which counts as an EntryNotFoundError too
        raise CycleganError(
            f"{address} cannot be downloaded, and was not downloaded before: {first_line(error)} Try again when the"
            " network is there."
        ) from error
    except errors.GatedRepoError as error:  # which counts as a RepositoryNotFoundError too
        raise UsageError(
            f"{address} is only for people who have accepted its terms. Accept them on its page, then log in with"
            " `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UsageError(
            f"{address} is not a bundle that can be read: there is no such repository, or it is private. For a private"
            " one, log in with `hf auth login`."
        ) from error
    except (errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        what = "revision" if isinstance(error, errors.RevisionNotFoundError) else f"file {file}"
        raise UsageError(f"{address} is not a bundle that can be read: there is no such {what}.") from error
    except Exception as error:  # whatever the network raises
        raise CycleganError(f"{address} cannot be downloaded: {first_line(error)} Try again later.") from error


def _wrong_address(address: str) -> UsageError:
    return UsageError(
        f"An address must have the form hf://owner/name or hf://owner/name@revision. Received: {address}."
    )


def _weights(info: pathlib.Path) -> list[str]:
    """The files that a `bundle.json` names, none if it is not valid: loading says what is wrong with it."""
    try:
        entries: dict[str, Any] = json.loads(info.read_text("utf-8"))["weights"]
        names = [str(entry["file"]) for entry in entries.values()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
    return [name for name in names if WEIGHTS_NAME.fullmatch(name)]
