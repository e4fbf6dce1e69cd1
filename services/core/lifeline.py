"""Child processes that never outlive their parent.

A parent holds the writing end of one pipe; every child inherits the reading end. The kernel closes the writing end
when the parent dies, however it dies, and the child then ends its process group. A Python child calls `attach`; a
foreign program runs under `python -m services.core.lifeline -- program …`.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio  # loaded by who uses it: a guard starts in half the time without

ENV = "AIFT_LIFELINE_FD"
_PR_SET_PDEATHSIG = 1
_ENDING = (signal.SIGTERM, signal.SIGINT)
_lock = threading.Lock()
_pipe: tuple[int, int] | None = None


def _read_end() -> int:
    """The reading end of this process' pipe, made at first use. The writing end stays open until we die."""
    global _pipe
    with _lock:
        if _pipe is None:
            _pipe = os.pipe()
        return _pipe[0]


def _options(
    env: Mapping[str, str] | None, cwd: str | Path | None, process_group: int, pass_fds: Sequence[int]
) -> dict[str, Any]:
    end = _read_end()
    environment = dict(os.environ if env is None else env)
    environment[ENV] = str(end)
    return {"env": environment, "cwd": cwd, "process_group": process_group, "pass_fds": (end, *pass_fds)}


def popen(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    stdin: int | IO[Any] | None = subprocess.DEVNULL,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    process_group: int = 0,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Starts a child that ends when we do. `env` replaces the environment; `process_group` 0 makes a new group."""
    options = _options(env, cwd, process_group, pass_fds)
    return subprocess.Popen([os.fspath(a) for a in argv], stdin=stdin, stdout=stdout, stderr=stderr, **options)


async def spawn(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    stdin: int | IO[Any] | None = subprocess.DEVNULL,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    process_group: int = 0,
    pass_fds: Sequence[int] = (),
    limit: int = 1 << 20,
) -> asyncio.subprocess.Process:
    """`popen` for asyncio. `limit` bounds a line that is read from a piped stream, in bytes."""
    import asyncio

    options = _options(env, cwd, process_group, pass_fds)
    words = [os.fspath(a) for a in argv]
    return await asyncio.create_subprocess_exec(
        *words, stdin=stdin, stdout=stdout, stderr=stderr, limit=limit, **options
    )


def signal_group(pid: int, number: int) -> None:
    """Signals the group that `pid` leads; a group that is gone already is no error."""
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


async def end(process: asyncio.subprocess.Process, *, grace_s: float = 10.0) -> int:
    """Asks the child's group to end, kills what is left of it after `grace_s`, and returns the exit status."""
    import asyncio

    signal_group(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(grace_s):
            return await process.wait()
    except TimeoutError:
        return await _kill(process)
    finally:
        signal_group(process.pid, signal.SIGKILL)


async def _kill(process: asyncio.subprocess.Process) -> int:
    signal_group(process.pid, signal.SIGKILL)
    return await process.wait()


def attach(*, grace_s: float = 5.0) -> bool:
    """Ends our process group when the parent goes: SIGTERM, then SIGKILL after `grace_s`. False without a parent."""
    value = os.environ.pop(ENV, None)
    if value is None:
        return False
    end_fd = int(value)
    os.set_inheritable(end_fd, False)
    threading.Thread(target=_watch, args=(end_fd, grace_s), name="lifeline", daemon=True).start()
    return True


def _watch(end_fd: int, grace_s: float) -> None:
    os.read(end_fd, 1)
    group = os.getpgrp()
    signal_group(group, signal.SIGTERM)
    time.sleep(grace_s)
    signal_group(group, signal.SIGKILL)


class Guard:
    """Runs a foreign program as a child and ends it when our own parent goes or we are told to end."""

    def __init__(self, argv: Sequence[str], *, stop_signal: int, user: str | None, grace_s: float) -> None:
        self._stop_signal = stop_signal
        self._grace_s = grace_s
        self._orphaned = False
        lifeline = os.environ.pop(ENV, None)
        # Held back until we can pass it on; the child must not inherit that.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        # The child stays in our group, so that a kill of the group reaches it. If only we are killed, the kernel
        # tells it (Linux): the setting must come after the change of user, which clears it.
        self._child = subprocess.Popen(argv, preexec_fn=self._before_exec, **_identity(user))
        for number in _ENDING:
            signal.signal(number, lambda *_: self._stop())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        if lifeline is not None:
            threading.Thread(target=self._watch, args=(int(lifeline),), daemon=True).start()

    def _before_exec(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, self._stop_signal)

    def _watch(self, end_fd: int) -> None:
        os.read(end_fd, 1)
        self._orphaned = True
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self._grace_s)
        self._end_group()

    def _end_group(self) -> None:
        """Kills the program and, when the group is ours, what the program left in it, and us."""
        self._child.kill()
        if os.getpgrp() == os.getpid():
            signal_group(os.getpid(), signal.SIGKILL)

    def _stop(self) -> None:
        self._child.send_signal(self._stop_signal)

    def wait(self) -> int:
        """Waits for the program; its exit status as a shell tells it."""
        status = self._child.wait()
        if self._orphaned:
            self._end_group()
        return 128 - status if status < 0 else status


def _identity(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: guards one foreign program."""
    parser = argparse.ArgumentParser(prog="python -m services.core.lifeline", description=main.__doc__)
    parser.add_argument("--signal", default="TERM", help="what ends the program: TERM, INT, QUIT")
    parser.add_argument("--user", help="the user to run it as; needs root")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds from that signal to SIGKILL")
    parser.add_argument("argv", nargs="+", metavar="-- program", help="the program and its arguments")
    options = parser.parse_args(argv)
    number = signal.Signals[f"SIG{options.signal}"]
    return Guard(options.argv, stop_signal=number, user=options.user, grace_s=options.grace).wait()


if __name__ == "__main__":
    sys.exit(main())
