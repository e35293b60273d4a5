"""The run directory while it is in use: people delete or move it, and what was trained should not be lost by that."""

import threading
from collections.abc import Callable

from cyclegan.data.inventory import Inventory
from cyclegan.errors import CycleganError, UsageError
from cyclegan.training.record import RunRecord, holds_run, is_run, write_run
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import Plan


class Displaced(CycleganError):
    """Something else is where the run directory was, so that nothing can be saved any more."""


def securing(
    plan: Plan,
    record: RunRecord,
    inventory: Inventory,
    progress: Progress,
    renew_claim: Callable[[str], bool],
) -> Callable[[], None]:
    """Makes a function to call before each saving, which creates the run directory again if it is gone.

    Args:
        plan: the run directory and the configuration.
        record: the record of the run.
        inventory: the training images of its first session.
        progress: gets a line if something was written again.
        renew_claim: see `Claim.renew`.

    Returns:
        The function. It raises `Displaced` if something else is in the place of the run, and otherwise `CycleganError`
        if the directory cannot be created again.
    """

    def is_taken() -> bool:
        try:
            return renew_claim(record.run_id) or is_run(plan.folder, record.run_id) is False
        except UsageError:
            raise
        except CycleganError:  # another process trains there
            return True

    lock = threading.Lock()  # the thread that saves asks too

    def secure() -> None:
        with lock:
            _secure()

    def _secure() -> None:
        try:
            if is_taken():
                progress.log_file = None
                raise Displaced(
                    f"{plan.folder} was deleted or moved during the training, and something else has been put there, so"
                    " this training cannot be saved. What it has saved before is where the directory has been moved to."
                )
            if holds_run(plan.folder, record):
                return
            write_run(plan.folder, plan.config, record, inventory)
        except UsageError as error:
            reason = getattr(error.__cause__, "strerror", None) or error
            raise CycleganError(f"{plan.folder} cannot be created again: {reason}.") from error
        progress.line(
            f"{plan.folder}, or a file in it, was deleted or moved during the training. What the run needs to go on has"
            " been written again; earlier checkpoints, samples and TensorBoard events have not."
        )

    return secure
