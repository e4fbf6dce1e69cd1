"""Where one data job is worked at: bytes come in, child processes work, what they made goes out."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.core import lifeline
from services.core.blobs import Blobs, StoredBlob
from services.core.errors import DiskFull
from services.core.objects import CHUNK_BYTES, ObjectStore
from services.data_service.child import DISK_FULL, Progress
from services.data_service.data_job import JobPhase

CHILD_ENV = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
"""What a child gets of our environment: no address, no credentials."""
_URL_TTL_S = 3600.0
_END_WITHIN_S = 2.0


class ChildCrashed(Exception):
    """A child process ended without a result."""


class Workspace:
    """A job's own folder, which goes when the job ends. `phase` and `progress` are what is told about it."""

    def __init__(self, objects: ObjectStore, blobs: Blobs, folder: Path) -> None:
        self._objects = objects
        self._blobs = blobs
        self.folder = folder
        self.phase = JobPhase.WAITING
        self.progress = Progress(0, 0)

    def enter(self, phase: JobPhase) -> None:
        """A new phase begins; its progress starts at nothing."""
        self.phase, self.progress = phase, Progress(0, 0)

    async def file(self, key: str, name: str) -> Path:
        """A local file with an object's content: the object itself when it is one, else a copy called `name`.

        Raises:
            ContentMissing, Unavailable: the bytes cannot be had.
        """
        url = urlsplit(await self._objects.read_url(key, _URL_TTL_S))
        if url.scheme == "file":
            return Path(unquote(url.path))
        return await self.write(name, self._objects.open(key))

    async def write(self, name: str, content: AsyncIterator[bytes]) -> Path:
        """A local file with the content."""
        target = self.folder / name
        with await asyncio.to_thread(target.open, "wb") as file:
            async for piece in content:
                await asyncio.to_thread(file.write, piece)
        return target

    async def run(self, module: str, request: str) -> None:
        """Runs `python -m module request` to its end; cancelling ends it too.

        Raises:
            ChildCrashed: it ended otherwise than well.
            DiskFull: it found no room on the disk.
        """
        argv = [sys.executable, "-m", module, request]
        process = await lifeline.spawn(argv, env=environment(TMPDIR=str(self.folder)), stdout=asyncio.subprocess.PIPE)
        try:
            await self._follow(process)
            status = await process.wait()
        finally:
            await lifeline.end(process, grace_s=_END_WITHIN_S)
        if status == DISK_FULL:
            raise DiskFull
        if status != 0:
            raise ChildCrashed(f"{module} ended with status {status}")

    async def store(self, path: Path) -> StoredBlob:
        """Takes a file over as a blob."""

        async def pieces() -> AsyncIterator[bytes]:
            with await asyncio.to_thread(path.open, "rb") as file:
                while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    yield piece

        return await self._blobs.put(pieces(), what=path.name)

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            raise AssertionError("the child was started with a pipe")
        async for line in process.stdout:
            self.progress = Progress.from_json(line)


def environment(**more: str) -> dict[str, str]:
    """What a child process of ours gets, and `more`."""
    kept = {name: os.environ[name] for name in CHILD_ENV if name in os.environ}
    return {**kept, "PYTHONUTF8": "1", **more}
