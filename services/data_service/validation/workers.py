"""Processes beside ours that check blocks. Nothing heavy is imported here: they start while we import."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Self

from services.core import lifeline

WORKERS = min(len(os.sched_getaffinity(0)), 3) - 1
"""Beside us for a large file: more of them bring more than we can write."""
LARGE_BYTES = 16 << 20
"""Below it starting processes takes longer than they save."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MODULE = "services.data_service.validation.worker"
_PIPE_BYTES = 1 << 20


def keep_memory() -> None:
    """Keeps memory that becomes free for the next array.

    glibc else gives that of every large array back to the system, and most of the time goes into taking it anew.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 28)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 28)


class Worker:
    """One of them. Both directions are pickles between a process and its own child."""

    def __init__(self) -> None:
        argv = [sys.executable, "-m", _MODULE]
        self._process = lifeline.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the worker was started with pipes")
        self._input, self._output = self._process.stdin, self._process.stdout
        _widen(self._output)

    def send(self, value: object) -> None:
        """Gives it the rules, or a block."""
        pickle.dump(value, self._input, protocol=5)
        self._input.flush()

    def receive(self) -> Any:
        """Waits for what became of a block."""
        return pickle.load(self._output)  # noqa: S301 - written by our child

    def end(self) -> None:
        """Waits for its end, which follows the end of its input."""
        self._process.communicate()


class Workers:
    """Some of them, which end with us."""

    def __init__(self, size: int) -> None:
        self.all = [Worker() for _ in range(size)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.all:
            worker.end()


def _widen(pipe: IO[bytes]) -> None:
    """Lets a whole answer into the pipe, so that the worker goes on; where that is not allowed, it waits a little."""
    with suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
