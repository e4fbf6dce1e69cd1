"""`logs`: the last lines of a process's log, and what comes after them."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from services.embedded.errors import ProcessUnknown
from services.embedded.layout import StateDir
from services.embedded.logfile import tail

_LOOK_EVERY_S = 0.2


def log_file(state: StateDir, name: str) -> Path:
    """The log of a process. Raises ProcessUnknown, naming those that there are."""
    path = state.logs / f"{name}.log"
    known = tuple(sorted(file.stem for file in state.logs.glob("*.log"))) if state.logs.is_dir() else ()
    if name not in known:
        raise ProcessUnknown(name, known)
    return path


def show(state: StateDir, name: str, *, lines: int, follow: bool) -> None:
    """Write the log to standard output; with `follow` until interrupted."""
    path = log_file(state, name)
    end = path.stat().st_size
    for line in tail(path, lines):
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
    if follow:
        for chunk in _after(path, end):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


def _after(path: Path, offset: int) -> Iterator[bytes]:
    """What is appended from `offset` on, across rotations."""
    file = path.open("rb")
    file.seek(offset)
    while True:
        if chunk := file.read():
            yield chunk
        elif _replaced(path, file.fileno()):
            file.close()
            file = path.open("rb")
        else:
            time.sleep(_LOOK_EVERY_S)


def _replaced(path: Path, handle: int) -> bool:
    try:
        return path.stat().st_ino != os.fstat(handle).st_ino
    except FileNotFoundError:  # between a rotation's two steps
        return False
