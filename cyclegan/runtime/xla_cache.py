"""A cache of compiled code between runs, so that the second start of a training is quick.

TensorFlow trusts the files in its cache, and runs the code in them. Therefore the cache is in a folder that only its
owner can read and write, and not in the folder of the data sets, which people share.

A damaged file raises an error in the middle of a training, and so does a folder that is not writable. Therefore the
name of the folder contains everything that the code depends on, the folder is tested by writing to it, and each file is
checked against a digest before TensorFlow sees it.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import shutil
import stat
import tempfile
from collections.abc import Callable

from rich.filesize import decimal

from cyclegan.runtime.atomic_files import AN_HOUR, remove_litter, write_atomically

MANIFEST = "digests.json"

KEPT_FILES = 30
"""How many of the newest files are kept. A file has about 10 MB, and each shape of a batch or network adds one."""


ROOM = 100_000_000
"""The cache is off where its disk has fewer bytes than this, because a full disk would end the compilation."""


def private_cache_dir() -> pathlib.Path:
    """The folder of the caches of this user: cyclegan in $XDG_CACHE_HOME, or in ~/.cache if that is not set."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return pathlib.Path(home if os.path.isabs(home) else os.path.expanduser("~/.cache")) / "cyclegan"


def enable_xla_cache(
    cache_dir: pathlib.Path | None = None, say: Callable[[str], None] = lambda line: None
) -> pathlib.Path | None:
    """Makes TensorFlow use the cache. This works only before TensorFlow is imported.

    Args:
        cache_dir: folder of all caches; None: `private_cache_dir()`. The cache for this version of TensorFlow and this
            processor is created in it, readable by its owner only.
        say: receives one line if other people could put code into the cache, or if its disk is nearly full.

    Returns:
        The folder of the cache, or None if the cache is off: because of `CYCLEGAN_XLA_CACHE=off`, because the folder is
        not writable, not private or on a full disk, or because the user has configured another cache in `TF_XLA_FLAGS`.
    """
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if os.environ.get("CYCLEGAN_XLA_CACHE") == "off" or "persistent_cache_directory" in flags:
        return None
    # Links are followed here, so that nobody can lead them elsewhere after the folders have been checked.
    caches = pathlib.Path(os.path.realpath(cache_dir or private_cache_dir()))
    folder = caches / "xla" / _environment_key()
    try:
        caches.parent.mkdir(parents=True, exist_ok=True)
        for private in (caches, folder.parent, folder):
            private.mkdir(mode=0o700, exist_ok=True)
        for private in (folder.parent, folder):
            _close(private)
        if reason := _why_not_private(folder):
            say(f"The cache of compiled code is off: {reason}.")
            return None
        if (free := shutil.disk_usage(folder).free) < ROOM:
            say(f"The cache of compiled code is off: {folder} has only {decimal(free)} left.")
            return None
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 65536)
            probe.flush()
        _drop_unverified(folder)
    except OSError:
        return None
    # Without the quotes, TensorFlow ends the path at a space.
    os.environ["TF_XLA_FLAGS"] = f'{flags} --tf_xla_persistent_cache_directory="{folder}"'.strip()
    return folder


def _close(folder: pathlib.Path) -> None:
    """Closes a folder of this user that other people could read but never write to, as earlier versions made it."""
    status = folder.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022:
        folder.chmod(0o700)


def _why_not_private(folder: pathlib.Path) -> str | None:
    """Says who else could change the code in a cache; None: nobody but its owner and the administrator.

    A person who can write to a folder can replace the folders in it, unless it has the sticky bit, as /tmp has.
    """
    for place in (folder.parent, folder):
        status = place.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return f"{place} must be a folder that belongs to you. Remove it, or choose another XDG_CACHE_HOME"
        if status.st_mode & 0o077:
            return f"{place} must be closed to other people. To close it: chmod 700 {shlex.quote(str(place))}"
    for above in folder.parent.parents:
        status = above.stat()
        if status.st_uid not in (0, os.geteuid()):
            return f"{above} belongs to another person. Choose another XDG_CACHE_HOME"
        if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
            return f"other people can write to {above}. To forbid it: chmod go-w {shlex.quote(str(above))}"
    return None


def seal_xla_cache(folder: pathlib.Path) -> None:
    """Records the digests of all files in the cache, so that the next run trusts them."""
    try:
        digests = {path.name: _digest(path) for path in _entries(folder)}
        write_atomically(folder / MANIFEST, json.dumps(digests).encode())
    except OSError:
        pass  # another process has cleared the folder, or the disk is full; the next run compiles again


def _drop_unverified(folder: pathlib.Path) -> None:
    remove_litter(folder, AN_HOUR)
    try:
        digests = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError, RecursionError):
        digests = {}
    newest_first = sorted(_entries(folder), key=lambda path: path.stat().st_mtime, reverse=True)
    for number, path in enumerate(newest_first):
        if number >= KEPT_FILES or not isinstance(digests, dict) or digests.get(path.name) != _digest(path):
            path.unlink(missing_ok=True)


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in folder.iterdir() if path.is_file() and path.name[0] != "." and path.name != MANIFEST]


def _digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _environment_key() -> str:
    """Names the version of TensorFlow and the kind of processor that compiled code is made for."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        cpu = platform.processor()
    version = importlib.metadata.version("tensorflow")
    return f"tensorflow-{version}-{hashlib.sha256((platform.machine() + cpu).encode()).hexdigest()[:12]}"
