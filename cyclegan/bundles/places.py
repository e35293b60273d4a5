"""Where the bundle of a request is: a folder, a model of the program, or an address on the Hugging Face Hub.

The models that come with the program lie in `cyclegan/models`, a folder for each.
"""

import difflib
import pathlib
from typing import Literal

from cyclegan.bundles.hub import SCHEME, fetch
from cyclegan.errors import UsageError

INFO_FILE = "bundle.json"
CARD_FILE = "README.md"

MODELS = pathlib.Path(__file__).parents[1] / "models"

Which = Literal["best", "last"]

WHICH: tuple[Which, ...] = ("best", "last")
"""The bundles of a run: the one that scored best on the validation images, if there are any, and the newest one."""


def model_names() -> list[str]:
    """The names of the models that come with the program."""
    return sorted(path.parent.name for path in MODELS.glob(f"*/{INFO_FILE}"))


def find_bundle(request: str | pathlib.Path, which: Which | None = None) -> pathlib.Path:
    """The folder of the bundle that a request means.

    Args:
        request: a bundle, the directory of a run, the name of a model that comes with the program, or an address such
            as hf://owner/name@revision. A folder is preferred to a model of the same name if it is a run or a bundle.
        which: "best" or "last" for a bundle of a run. None means the best one if the run has one, and else the last.

    Raises:
        UsageError: if there is no such model, or if the run does not have this bundle.
        CycleganError: if it cannot be downloaded.
    """
    text, path = str(request), pathlib.Path(request)
    if text.startswith(SCHEME):
        path = fetch(text, INFO_FILE, CARD_FILE)
    if (path / INFO_FILE).is_file():
        if which:
            raise UsageError(f"`--which` is for runs, which have several bundles. Received: {text}, which is a bundle.")
        return path
    found = {each: path / "bundle" / each for each in WHICH if (path / "bundle" / each / INFO_FILE).is_file()}
    if not found and text in model_names():
        return find_bundle(MODELS / text, which)
    if not found:
        raise _unknown(text, path)
    if which and which not in found:
        held = " It is chosen by validation images; data.validation_fraction holds some back." * (which == "best")
        raise UsageError(f"{path} has no bundle in bundle/{which}.{held}")
    return found[which] if which else next(iter(found.values()))


def _unknown(text: str, path: pathlib.Path) -> UsageError:
    if path.exists():
        return UsageError(
            f"{path} is neither a run with a trained model nor a bundle: it contains neither {INFO_FILE} nor a bundle"
            " in bundle/last. Give a directory that `cyclegan train` has written."
        )
    names = model_names()
    close = difflib.get_close_matches(text, names, n=1)
    question = f" Did you mean {close[0]}?" if close else ""
    named = f", and none of the models that come with the program ({', '.join(names)}) has this name" if names else ""
    return UsageError(f"There is no model {text}: it is neither a run nor a bundle{named}.{question}")
