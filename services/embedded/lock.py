"""One supervisor per state directory: a lock that ends with the process that holds it."""

import contextlib
import fcntl
import os
from pathlib import Path


class SupervisorLock:
    """An exclusive lock on a file whose content names the holder's pid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Take the lock and write our pid into it; False when another process has it."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)  # not inherited by children
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle
        return True

    def release(self) -> None:
        """Let go. The file stays: removing it would let two holders exist."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None

    def holder(self) -> int | None:
        """The pid of the process that holds the lock now, or None."""
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(self._path, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(os.pread(handle, 32, 0) or b"0")
            finally:
                os.close(handle)
        return None
