"""Claiming a run directory: it is created and locked, and the plan is made again, before anything is written.

Several processes may start at once, in numbered directories or in the same one. A directory with a number belongs to
the process that creates it, and the lock keeps a second process out of any directory.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from cyclegan.errors import CycleganError
from cyclegan.training.record import is_run, unwritable
from cyclegan.training.run_directory import (
    LOCK_FILE,
    Plan,
    Request,
    is_empty,
    next_run_directory,
    plan_run,
)


class Claim(NamedTuple):
    """A run directory that this process holds.

    Attributes:
        plan: the plan as it is under the lock: with another number if a process that started at the same time took the
            one that was planned, and otherwise the same plan.
        renew: takes the `run_id` of the run, and holds the directory again if it has been deleted or moved since. It
            returns whether something else has been put in its place, which is then left alone, and raises
            `CycleganError` if the directory cannot be held, as when another process trains there now.
    """

    plan: Plan
    renew: Callable[[str], bool]


@contextlib.contextmanager
def claim_run(request: Request, plan: Plan, report: Callable[[str], None]) -> Iterator[Claim]:
    """Holds a run directory inside the `with` block. A directory that is still empty at its end is removed.

    Args:
        request: the request that led to `plan`.
        plan: the result of `plan_run`, which was made before the directory was locked.
        report: called with one line if nothing is locked.

    Raises:
        UsageError: if the directory cannot be written.
        CycleganError: if another process is training there or has changed the run since `plan` was made, or if the
            file system does not support locks.
    """
    folder, parents = plan.folder, plan.folder.parents
    made = [path for path in (folder, *parents) if not os.path.lexists(path)]
    if request.folder is None:
        folder = _create_numbered(folder)
        made = [folder, *(path for path in made if path in parents)]
    try:
        with contextlib.ExitStack() as locks:
            held = locks.enter_context(_lock(folder, report))

            def renew(run_id: str) -> bool:
                nonlocal held
                if held is None or _is_at(folder / LOCK_FILE, held):
                    return False
                if folder.exists() and not is_empty(folder) and not is_run(folder, run_id):
                    return True
                with contextlib.suppress(OSError):  # it can be a link to a directory that is gone
                    os.makedirs(os.path.realpath(folder))
                with contextlib.ExitStack() as new:
                    held = new.enter_context(_lock(folder, report))
                    locks.pop_all().close()  # the lock of the place to which the directory was moved
                    locks.push(new.pop_all())
                return False

            try:
                again = plan_run(request._replace(folder=folder))
                if again != plan._replace(folder=folder):
                    raise CycleganError(
                        f"Another process has changed {folder} since this one read it. Run the command again."
                    )
                yield Claim(again, renew)
            finally:
                if is_empty(folder):
                    (folder / LOCK_FILE).unlink(missing_ok=True)
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # it is not empty
                path.rmdir()


def _create_numbered(folder: pathlib.Path) -> pathlib.Path:
    """Creates a directory NAME-N, or one with a higher number if another process has created it."""
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except OSError as error:
            if not os.path.lexists(folder):
                raise unwritable(folder, error.strerror) from error
        folder = next_run_directory(folder.parent, folder.name.rpartition("-")[0])


@contextlib.contextmanager
def _lock(folder: pathlib.Path, report: Callable[[str], None]) -> Iterator[IO[str] | None]:
    """Locks a directory inside the `with` block, and yields the lock file; None where locks are switched off."""
    if os.environ.get("CYCLEGAN_LOCK") == "off":
        _create(folder)
        report(f"CYCLEGAN_LOCK=off: nothing keeps a second training out of {folder}.")
        yield None
        return
    with _open_locked(folder) as file:
        yield file


def _open_locked(folder: pathlib.Path) -> IO[str]:
    """The lock file of a directory, which is locked until it is closed."""
    path = folder / LOCK_FILE
    while True:
        _create(folder)
        try:
            file = path.open("w")
        except OSError as error:
            if not folder.is_dir():
                continue  # a process that gave its claim up has removed it
            raise unwritable(folder, error.strerror) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise CycleganError(
                    f"Another process is training in {folder}. Wait for it, or use another --run-dir."
                ) from error
            path.unlink(missing_ok=True)
            raise CycleganError(
                f"{folder} cannot be locked against a second training: {error.strerror}. Use another --run-dir, or set"
                " the environment variable CYCLEGAN_LOCK=off and make sure that no other process trains there."
            ) from error
        if _is_at(path, file):
            return file
        file.close()  # a process that gave its claim up has removed the file, so its lock keeps nobody out


def _is_at(path: pathlib.Path, file: IO[str]) -> bool:
    """Whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (OSError, ValueError):  # it is not there, or the file is closed
        return False


def _create(folder: pathlib.Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error.strerror) from error
