"""What becomes of a run that was ended because it is ill: it stays so, or it goes back to when it was healthy."""

import contextlib
import pathlib

from cyclegan.bundles.bundle import load_bundle
from cyclegan.errors import CycleganError, UsageError
from cyclegan.training.checkpoints import first_free, list_checkpoints
from cyclegan.training.run_directory import CHECKPOINTS

MAX_ROLLBACKS = 3
"""A run goes back at most so often."""


def data_seed(seed: int, num_rollbacks: int) -> int:
    """The seed of the order and of the augmentation of the images, which is another one after each rollback.

    `training.seed` has 31 bits, so no other seed of a run gives the same.
    """
    return seed + (num_rollbacks << 32)


def find_way_back(folder: pathlib.Path, healthy_step: int, num_rollbacks: int) -> tuple[int | None, str]:
    """The step of the checkpoint that an ill run goes back to, None if there is none, and a line that says so.

    Args:
        folder: the run directory.
        healthy_step: the last step that was examined before the first sign of the illness.
        num_rollbacks: how often the run has gone back before.
    """
    healthy = [step for step, _ in list_checkpoints(folder / CHECKPOINTS) if step <= healthy_step]
    if num_rollbacks >= MAX_ROLLBACKS:
        return None, f"The run is ill, and has gone back {num_rollbacks} times before, so it ends here."
    if not healthy_step:
        return None, (
            "The run is ill, and none of its examinations is from before the first sign, so there is nothing to go back"
            " to, and it ends here. Start a new run with another training.seed."
        )
    if not healthy:
        return None, f"The run is ill, and no checkpoint is left of step {healthy_step} or before, so it ends here."
    return healthy[-1], (
        f"The run is ill and goes back to step {healthy[-1]}, before the first sign of it. The images come in another"
        f" order from here on. This is rollback {num_rollbacks + 1} of at most {MAX_ROLLBACKS}."
    )


def set_aside(folder: pathlib.Path, step: int, healthy_step: int) -> None:
    """Renames the checkpoints of a run that are newer than a step, and its best bundle if the run was ill by then.

    Args:
        folder: the run directory.
        step: the step that the run goes back to.
        healthy_step: the last step that was examined before the first sign of the illness.

    Raises:
        CycleganError: if one of them cannot be renamed.
    """
    paths = [path for number, path in list_checkpoints(folder / CHECKPOINTS) if number > step]
    best = folder / "bundle" / "best"
    with contextlib.suppress(UsageError):
        if load_bundle(best).info.provenance.step > healthy_step:
            # The first one: killed after the checkpoints, the run would go on, and keep the ill bundle as its best.
            paths.insert(0, best)
    for path in paths:
        try:
            path.rename(first_free(path.with_name(f"{path.name}.ill")))
        except OSError as error:
            raise CycleganError(f"{path} cannot be renamed: {error.strerror}.") from error
