"""A rank's own folder in a directory on a fast disk, for what DeepSpeed swaps out. Standard library only.

The folder belongs to the process that holds its lock, which the system frees however that process ends. So whoever
looks after the directory can tell what nobody uses any more.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.text.problems import Problem

_PREFIX = "aift-swap-"
_LOCK = "lock"
_LEAST_BYTES = 16 << 20
"""Where less is left, a piece of what was swapped out may have found no room."""


def problem_of(directory: str, field: str) -> Problem | None:
    """Why nothing can be swapped out there; None where it can. `field` is where the directory is named."""
    if not directory:
        return Problem(
            "NO_DISK_OFFLOAD_DIR",
            field,
            f"{field} is empty; name a directory on a fast disk, or offload to cpu",
            f"{field} が空です。高速なディスク上のディレクトリを指定するか、cpu へオフロードしてください",
        )
    path = Path(directory)
    if not path.is_dir():
        return Problem(
            "NO_SUCH_DIRECTORY",
            field,
            f"{field} is {directory}, which is no directory; make it, or name another",
            f"{field} の {directory} というディレクトリはありません。作成するか、別の場所を指定してください",
        )
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Problem(
            "DIRECTORY_NOT_WRITABLE",
            field,
            f"{field} is {directory}, which cannot be written to; change its owner or mode, or name another",
            f"{field} の {directory} に書き込めません。所有者か権限を変更するか、別の場所を指定してください",
        )
    return None


@contextmanager
def made_in(directory: Path) -> Iterator[Path]:
    """A fresh folder that is removed at the end. Folders of dead processes are removed first, so that there is room."""
    clear(directory)
    with _alone_in(directory):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=directory))
        lock = (folder / _LOCK).open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def check_room(folder: Path, needed_bytes: int = _LEAST_BYTES) -> None:
    """Raises OSError where less is free. DeepSpeed's library does not tell of writes that failed, so that a rank would
    be aborted later or, with room again for what came after, would read what was never written."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        what = f"{needed_bytes} bytes are needed for what lies on disk, {free_bytes} are free"
        raise OSError(errno.ENOSPC, what, str(folder.parent))


def clear(directory: Path) -> None:
    """Removes folders of processes that have ended."""
    with _alone_in(directory):
        for folder in directory.glob(f"{_PREFIX}*"):
            # Held by a living process, another user's, or just removed by its own.
            with suppress(OSError), (folder / _LOCK).open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Keeps folders that are made but not yet locked from being taken for dead ones."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
