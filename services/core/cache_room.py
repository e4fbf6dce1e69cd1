"""Room for what caches fetch next: folders that nobody uses go, the least recently used first."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from services.core.folder_lock import FolderLock, folders_with_locks, partial_of

log = logging.getLogger(__name__)

_BLOCK_BYTES = 512  # the unit of st_blocks


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much caches may hold: `max_bytes` together, 0 for any number, and `free_bytes` are left on the disk."""

    max_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class _Folder:
    """What a cache has of one digest."""

    whole: Path
    used_s: float
    """When it was fetched or let go last."""
    size_bytes: int

    def remove(self) -> bool:
        """Removes it; False where it is in use. One that is killed here leaves a part, which a fetch makes whole."""
        partial = partial_of(self.whole)
        with closing(FolderLock(self.whole)) as lock:
            if not lock.seize():
                return False
            if self.whole.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
                self.whole.rename(partial)
            shutil.rmtree(partial, ignore_errors=True)
        log.info("removed from the cache", extra={"digest": self.whole.name, "bytes": self.size_bytes})
        return True


class CacheRoom:
    """The bounds of the `FileCache`s below some roots, which lie on one disk."""

    def __init__(self, roots: Sequence[Path], bounds: Bounds) -> None:
        self._roots = roots
        self._bounds = bounds

    def make(self, needed_bytes: int) -> None:
        """Removes folders until so much more fits, or all that is left is in use."""
        folders = sorted(self._folders(), key=lambda folder: folder.used_s)
        held = sum(folder.size_bytes for folder in folders)
        for folder in folders:
            free_bytes = shutil.disk_usage(folder.whole.parent).free
            if self._fits(held + needed_bytes) and free_bytes >= needed_bytes + self._bounds.free_bytes:
                return
            # Links to files that the object store holds too take nothing, so that removing them gives nothing.
            if folder.size_bytes and folder.remove():
                held -= folder.size_bytes

    def _fits(self, held_bytes: int) -> bool:
        return not self._bounds.max_bytes or held_bytes <= self._bounds.max_bytes

    def _folders(self) -> Iterator[_Folder]:
        for root in self._roots:
            for whole in folders_with_locks(root):
                for folder in (whole, partial_of(whole)):
                    with suppress(FileNotFoundError):  # not there, or just removed by another process
                        yield _Folder(whole, folder.stat().st_mtime, _own_bytes(folder))


def _own_bytes(folder: Path) -> int:
    found = (path.stat() for path in folder.rglob("*") if path.is_file())
    return sum(status.st_blocks * _BLOCK_BYTES for status in found if status.st_nlink == 1)
