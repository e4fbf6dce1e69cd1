"""Who fills, uses and removes a folder of a cache: the lock of a file beside it, which ends with its holder."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

_LOOK_AGAIN_S = 0.05


def partial_of(folder: Path) -> Path:
    """Where a folder lies while it is not whole."""
    return folder.with_name(f".partial-{folder.name}")


class FolderLock:
    """Whoever fills or removes a folder has its lock alone, whoever uses it shares it; until `close`, or until this
    object or this process is gone."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, -1
        self._file = os.open(folder.with_name(f".{folder.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    async def use(self, fill: Callable[[], Awaitable[None]]) -> None:
        """Shares the lock of a folder that is there. One process fills it; the others wait for it."""
        # Looks again and again: a thread that waits for a lock could not be cancelled.
        while True:
            if self._folder.is_dir():
                if self.share():
                    return
            elif self.seize() and not self._folder.is_dir():
                await fill()
                continue
            await asyncio.sleep(_LOOK_AGAIN_S)

    def share(self) -> bool:
        """Shares the lock; False where somebody has it alone or the folder is gone."""
        return self._lock(fcntl.LOCK_SH) and self._folder.is_dir()

    def seize(self) -> bool:
        """Takes the lock alone; False where somebody has it."""
        return self._lock(fcntl.LOCK_EX)

    def close(self) -> None:
        """Lets it go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        self.close()

    def _lock(self, kind: int) -> bool:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def folders_with_locks(root: Path) -> list[Path]:
    """All that a root has locks for, whether they are there or not."""
    return [root / lock.name.removeprefix(".").removesuffix(".lock") for lock in root.glob(".*.lock")]
