"""Compares versions for calls: in a child process, and in a folder that goes with the call."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path

from services.core.blobs import Blobs
from services.core.errors import ContentMissing
from services.core.objects import ObjectStore
from services.data_service.differences.request import RESULT_FILE, Difference, DiffRequest, Side
from services.data_service.domain import ROWS_PATH, Version
from services.data_service.row_pages import MAX_PAGE_BYTES
from services.data_service.workspace import Workspace

_MODULE = "services.data_service.differences"
_AT_ONCE = 2
_KINDS = 3


class VersionDifferences:
    """Works in folders below `work_dir`, of which the job runner removes those of killed processes."""

    def __init__(self, objects: ObjectStore, blobs: Blobs, work_dir: Path) -> None:
        self._objects = objects
        self._blobs = blobs
        self._work_dir = work_dir
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def between(self, version: Version, base: Version, limit: int) -> Difference:
        """What the version has beside the base. Cancelling ends the child.

        Raises:
            ContentMissing: bytes of a version are gone.
            DiskFull: no room on the disk.
            ChildCrashed: a fault of ours.
        """
        await asyncio.to_thread(self._work_dir.mkdir, parents=True, exist_ok=True)
        async with self._free:
            with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=self._work_dir) as folder:
                return await self._compare(Path(folder), version, base, limit)

    async def _compare(self, folder: Path, version: Version, base: Version, limit: int) -> Difference:
        space = Workspace(self._objects, self._blobs, folder)
        request = DiffRequest(
            version=await _side(space, version, "version.parquet"),
            base=await _side(space, base, "base.parquet"),
            folder=str(folder),
            limit=limit,
            max_bytes=MAX_PAGE_BYTES // _KINDS,
        )
        await space.run(_MODULE, request.to_json())
        return Difference.from_json(json.loads(await asyncio.to_thread((folder / RESULT_FILE).read_bytes)))


async def _side(space: Workspace, version: Version, name: str) -> Side:
    rows = version.file(ROWS_PATH)
    if rows is None:
        raise ContentMissing(f"{version.name}: {ROWS_PATH}")
    return Side(file=str(await space.file(rows.key, name)), template=version.template)
