"""What becomes of a run that was ended because it is ill: it stays so, or it goes back to when it was healthy."""

import pathlib
from collections.abc import Callable

from cyclegan.errors import CycleganError
from cyclegan.training.checkpoints import first_free, list_checkpoints

MAX_ROLLBACKS = 3
"""A run goes back at most so often."""


def data_seed(seed: int, num_rollbacks: int) -> int:
    """The seed of the order and of the augmentation of the images, which is another one after each rollback.

    `training.seed` has 31 bits, so no other seed of a run gives the same.
    """
    return seed + (num_rollbacks << 32)


def roll_back(folder: pathlib.Path, healthy_step: int, num_rollbacks: int, report: Callable[[str], None]) -> bool:
    """Sets the checkpoints of an ill run aside that are newer than its last healthy step.

    Args:
        folder: the `checkpoints` folder of the run.
        healthy_step: the last step that was examined before the first sign of the illness.
        num_rollbacks: how often the run has gone back before.
        report: called with a line that says what is done, or why it is not.

    Returns:
        Whether the run goes on from the checkpoint that is now the newest.

    Raises:
        CycleganError: if a checkpoint cannot be renamed.
    """
    checkpoints = list_checkpoints(folder)
    healthy = [step for step, _ in checkpoints if step <= healthy_step]
    if num_rollbacks >= MAX_ROLLBACKS:
        report(f"The run is ill, and has gone back {num_rollbacks} times before, so it ends here.")
        return False
    if not healthy:
        report(
            f"The run is ill, and no checkpoint is left of step {healthy_step} or before, so it ends here. A larger"
            " training.keep_checkpoints keeps more of them."
        )
        return False
    for step, path in checkpoints:
        if step > healthy_step:
            try:
                path.rename(first_free(path.with_name(f"{path.name}.ill")))
            except OSError as error:
                raise CycleganError(f"{path} cannot be renamed: {error.strerror}.") from error
    report(
        f"The run is ill and goes back to step {healthy[-1]}, before the first sign of it. The images come in another"
        f" order from here on. This is rollback {num_rollbacks + 1} of at most {MAX_ROLLBACKS}."
    )
    return True
