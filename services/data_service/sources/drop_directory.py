"""Files that somebody copied into a directory of the server, by name."""

from __future__ import annotations

import asyncio
import os
import tarfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.core.objects import CHUNK_BYTES
from services.data_service.child import Progress
from services.data_service.sources.errors import DroppedFileMissing, DroppedFileUnsettled
from services.data_service.sources.source import Fetched
from services.data_service.workspace import Workspace

SCHEME = "drop:"
SETTLED_AFTER_S = 3.0
"""After how long without a change a file counts as copied completely."""


@dataclass(frozen=True, kw_only=True)
class DroppedFile:
    """A file, or a folder with all files in it. `changed` is when the newest of them was written to, in seconds."""

    name: str
    size_bytes: int
    files: int
    changed: float
    folder: bool

    @property
    def settled(self) -> bool:
        """Whether nothing was written to it for a while."""
        return time.time() - self.changed >= SETTLED_AFTER_S


class DropDirectory:
    """Hidden files are not seen, nor are links that lead out of the directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self) -> None:
        """Makes the directory, for its owner alone."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def list(self) -> list[DroppedFile]:
        """What is there, by name."""
        names = sorted(entry.name for entry in os.scandir(self._root))
        return [found for name in names if (found := self._look(name)) is not None]

    def look(self, name: str) -> DroppedFile:
        """One of them. Raises DroppedFileMissing, DroppedFileUnsettled."""
        found = self._look(name)
        if found is None:
            raise DroppedFileMissing(name)
        if not found.settled:
            raise DroppedFileUnsettled(name)
        return found

    async def fetch(self, place: str, space: Workspace) -> Fetched:
        """The bytes of a file; of a folder a tar of its files in the order of their names, the same for the same files.

        Raises DroppedFileMissing and DroppedFileUnsettled, the latter also when it changes while it is read.
        """
        name = place.removeprefix(SCHEME)
        found = await asyncio.to_thread(self.look, name)
        path = self._root / name
        if found.folder:
            target = space.folder / "folder.tar"
            await asyncio.to_thread(_pack, path, self._root, target)
            path = target
        return Fetched(
            filename=f"{name}.tar" if found.folder else name, content=self._content(found, path, space), source=place
        )

    async def _content(self, found: DroppedFile, path: Path, space: Workspace) -> AsyncIterator[bytes]:
        with await asyncio.to_thread(path.open, "rb") as file:
            done = 0
            while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
                done += len(piece)
                space.progress = Progress(done, 0)
                yield piece
        if await asyncio.to_thread(self._look, found.name) != found:
            raise DroppedFileUnsettled(found.name)

    def _look(self, name: str) -> DroppedFile | None:
        if not name or name.startswith(".") or "/" in name or "\0" in name:
            return None
        path = self._root / name
        if not _within(path, self._root) or not (path.is_file() or path.is_dir()):
            return None
        states = [file.stat() for file in files_of(path, self._root)]
        # The time of change, which nothing but a change sets: copying may set the other one to the original's.
        changed = max([state.st_ctime for state in states], default=path.stat().st_ctime)
        size = sum(state.st_size for state in states)
        return DroppedFile(name=name, size_bytes=size, files=len(states), changed=changed, folder=path.is_dir())


def files_of(path: Path, root: Path) -> Iterator[Path]:
    """The file itself, or a folder's plain files that lie within `root`, by name; hidden ones are left out."""
    if path.is_file():
        yield path
        return
    for child in sorted(path.iterdir()):
        if child.name.startswith(".") or not _within(child, root):
            continue
        if child.is_dir() and not child.is_symlink():
            yield from files_of(child, root)
        elif child.is_file():
            yield child


def unpack(archive: Path, folder: Path) -> None:
    """The folder that `fetch` packed."""
    folder.mkdir(exist_ok=True)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")


def _pack(folder: Path, root: Path, target: Path) -> None:
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in files_of(folder, root):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size = path.stat().st_size
            entry.mode = 0o600
            with path.open("rb") as file:
                tar.addfile(entry, file)


def _within(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())
