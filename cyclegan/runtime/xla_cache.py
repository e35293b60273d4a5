"""Compiled code kept between runs, so that the second start of a training is quick.

TensorFlow trusts the files in its cache: a damaged one raises in the middle of training, and so does a folder that it
cannot write. So the folder is named after everything the code depends on, tested for writing, and each file is
checked against a digest before TensorFlow sees it.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import tempfile

MANIFEST = "digests.json"

KEPT_FILES = 30
"""Newest entries that stay, of some 10 MB each; every shape of a batch and every width makes one."""


def enable_xla_cache(cache_dir: pathlib.Path) -> pathlib.Path | None:
    """Points TensorFlow at the cache. Has an effect only before TensorFlow is imported.

    Args:
        cache_dir: parent of all caches; the one for this TensorFlow and processor is made in it.

    Returns:
        The folder in use, or None where the cache is off: `CYCLEGAN_XLA_CACHE=off`, a folder that cannot be written,
        or a cache that the user has configured through `TF_XLA_FLAGS`.
    """
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if os.environ.get("CYCLEGAN_XLA_CACHE") == "off" or "persistent_cache_directory" in flags:
        return None
    folder = cache_dir / "xla" / _environment_key()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 65536)
            probe.flush()
        _drop_unverified(folder)
    except OSError:
        return None
    # Quoted, or TensorFlow ends the path at a space.
    os.environ["TF_XLA_FLAGS"] = f'{flags} --tf_xla_persistent_cache_directory="{folder}"'.strip()
    return folder


def seal_xla_cache(folder: pathlib.Path) -> None:
    """Records the digests of what is in the cache now, so that the next run trusts it."""
    try:
        digests = {path.name: _digest(path) for path in _entries(folder)}
        temporary = folder / f".{MANIFEST}.{os.getpid()}"
        temporary.write_text(json.dumps(digests))
        temporary.replace(folder / MANIFEST)
    except OSError:
        pass  # another process has cleared the folder, or the disk is full: the next run compiles again


def _drop_unverified(folder: pathlib.Path) -> None:
    try:
        digests = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError, RecursionError):
        digests = {}
    newest_first = sorted(_entries(folder), key=lambda path: path.stat().st_mtime, reverse=True)
    for number, path in enumerate(newest_first):
        if number >= KEPT_FILES or not isinstance(digests, dict) or digests.get(path.name) != _digest(path):
            path.unlink(missing_ok=True)


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in folder.iterdir() if path.is_file() and MANIFEST not in path.name]


def _digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _environment_key() -> str:
    """Compiled code is for one version of TensorFlow and one kind of processor."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        cpu = platform.processor()
    version = importlib.metadata.version("tensorflow")
    return f"tensorflow-{version}-{hashlib.sha256((platform.machine() + cpu).encode()).hexdigest()[:12]}"
