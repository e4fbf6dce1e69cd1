"""Who has a machine's GPUs, or its processor where it has none: whoever holds the lock of its file.

The kernel lets a lock go when its holder ends, however it ends. Agents and engines use the same files,
`STATE_DIR/locks/gpu-N.lock` and `cpu.lock`. Beside them `gpu-N.wanted` is touched as long as a training waits for one,
so that engines which are idle let it go.
"""

import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

CPU = "cpu"
_GPU = "gpu-"
# A worker that still waits says so every few seconds; one that is gone says nothing any more.
_WANTED_FOR_S = 30.0


class DevicesTaken(Exception):
    """Somebody else has a device."""


def gpu(index: int) -> str:
    """The name of a GPU."""
    return f"{_GPU}{index}"


def gpu_indices(names: Sequence[str]) -> list[int]:
    """The numbers of those that are GPUs."""
    return [int(name.removeprefix(_GPU)) for name in names if name.startswith(_GPU)]


@contextmanager
def holding(directory: Path, names: Sequence[str]) -> Iterator[list[int]]:
    """Holds devices while the block runs. Raises DevicesTaken.

    Yields file descriptors: a child that inherits them holds the devices too, for as long as it lives.
    """
    with ExitStack() as held:
        yield [held.enter_context(_locked(directory, name)).fileno() for name in names]


def want(directory: Path, names: Sequence[str]) -> None:
    """Says that a training waits for devices; to be repeated as long as it does."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        _note(directory, name).touch()


def want_no_more(directory: Path, names: Sequence[str]) -> None:
    """Says that none waits."""
    for name in names:
        _note(directory, name).unlink(missing_ok=True)


def is_wanted(directory: Path, name: str) -> bool:
    """Whether a training waits for a device."""
    try:
        return time.time() - _note(directory, name).stat().st_mtime < _WANTED_FOR_S
    except FileNotFoundError:
        return False


def _note(directory: Path, name: str) -> Path:
    return directory / f"{name}.wanted"


def free(directory: Path, names: Sequence[str]) -> list[str]:
    """Those that nobody holds at this moment."""
    return [name for name in names if _is_free(directory, name)]


def _is_free(directory: Path, name: str) -> bool:
    try:
        with _locked(directory, name):
            return True
    except DevicesTaken:
        return False


@contextmanager
def _locked(directory: Path, name: str) -> Iterator[IO[bytes]]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{name}.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DevicesTaken(name) from error
        yield file
