"""One file checked by a child process: given to it, watched, and ended with it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.core import lifeline
from services.core.blobs import Blobs, StoredBlob
from services.core.objects import CHUNK_BYTES, ObjectStore
from services.data_service.domain import DataJob
from services.data_service.report import Report
from services.data_service.validation.request import REPORT_FILE, Progress, ValidationRequest

_KEPT_ENV = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
"""What the child gets of our environment: no address, no credentials."""
_URL_TTL_S = 3600.0
_END_WITHIN_S = 2.0


class Checking:
    """The check of one job in a folder of its own. `progress` is what the child said last."""

    def __init__(self, objects: ObjectStore, blobs: Blobs, job: DataJob, folder: Path) -> None:
        self._objects = objects
        self._blobs = blobs
        self._job = job
        self._folder = folder
        self.progress = Progress(0, 0)

    async def run(self) -> Report | None:
        """The report; None when the child ended without one. Cancelling ends the child.

        Raises:
            ContentMissing, Unavailable: the bytes cannot be had.
        """
        blob = await self._blobs.find(self._job.sha256)
        if blob is None:
            return None
        request = ValidationRequest(
            input_file=str(await self._input(blob)),
            output_dir=str(self._folder),
            form=self._job.form,
            train_on=self._job.train_on,
        )
        argv = [sys.executable, "-m", "services.data_service.validation", request.to_json()]
        process = await lifeline.spawn(argv, env=self._environment(), stdout=asyncio.subprocess.PIPE)
        try:
            await self._follow(process)
            status = await process.wait()
        finally:
            await lifeline.end(process, grace_s=_END_WITHIN_S)
        return await asyncio.to_thread(self._report) if status == 0 else None

    async def store(self, name: str) -> StoredBlob:
        """Takes a file that the child wrote over as a blob."""

        async def pieces() -> AsyncIterator[bytes]:
            with await asyncio.to_thread((self._folder / name).open, "rb") as file:
                while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    yield piece

        return await self._blobs.put(pieces(), what=name)

    async def _input(self, blob: StoredBlob) -> Path:
        """A local file with the content: the object itself when it is one, else a copy that goes with the folder."""
        url = urlsplit(await self._objects.read_url(blob.key, _URL_TTL_S))
        if url.scheme == "file":
            return Path(unquote(url.path))
        target = self._folder / "input"
        with await asyncio.to_thread(target.open, "wb") as file:
            async for piece in self._objects.open(blob.key):
                await asyncio.to_thread(file.write, piece)
        return target

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            raise AssertionError("the child was started with a pipe")
        async for line in process.stdout:
            self.progress = Progress.from_json(line)

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT_ENV if name in os.environ}
        return {**kept, "PYTHONUTF8": "1", "TMPDIR": str(self._folder)}

    def _report(self) -> Report:
        return Report.from_json(json.loads((self._folder / REPORT_FILE).read_text()))
