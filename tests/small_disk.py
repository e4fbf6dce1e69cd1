"""File systems so small that they fill up; only root can mount them, and without that their tests say so loudly."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.programs import MARK

_PIECE_BYTES = 1 << 20
_FILES = 2000


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """A file system of that size in a folder, for 2,000 files and folders."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},nr_inodes={_FILES}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip(f"{MARK} a right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path, *, but_bytes: int = 0) -> Iterator[None]:
    """Not a byte is free while the block runs, or no more than so many."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (_PIECE_BYTES, 4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
        file.truncate(file.tell() - but_bytes)
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def crowded(folder: Path) -> Iterator[None]:
    """No further file or folder can be made while the block runs."""
    fillers = folder / "fillers"
    fillers.mkdir()
    with suppress(OSError):
        for number in range(_FILES):
            (fillers / str(number)).touch()
    try:
        yield
    finally:
        shutil.rmtree(fillers)
