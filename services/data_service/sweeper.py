"""Collects what is no longer needed: expired uploads, deleted rows, and bytes that nothing refers to."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, union

from services.core import idempotency
from services.core.blobs import Blobs
from services.core.db import Database
from services.core.errors import DomainError
from services.core.leases import database_time
from services.core.objects import ObjectStore
from services.data_service.data_job import JobState
from services.data_service.dataset_store import DatasetStore
from services.data_service.schema import blobs, data_jobs, requests, uploads, version_files
from services.data_service.upload_closing import remove_parts
from services.data_service.upload_store import UploadStore
from services.data_service.version_store import VersionStore

log = logging.getLogger(__name__)

YOUNG = timedelta(days=1)
"""Younger content is left alone: something that refers to it may be on its way."""
_PARTS, _BLOBS = "data/uploads/", "data/blobs/"


class Sweeper:
    """Sweeps once when asked, or again and again. Several processes may do so at the same time."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        blobs_: Blobs,
        *,
        uploads_: UploadStore,
        datasets: DatasetStore,
        versions: VersionStore,
    ) -> None:
        self._database = database
        self._objects = objects
        self._blobs = blobs_
        self._uploads = uploads_
        self._datasets = datasets
        self._versions = versions

    async def run(self, every_s: float) -> None:
        """Sweeps until cancelled."""
        while True:
            try:
                await self.sweep()
            except DomainError as error:
                log.warning("sweeping stops for now: %s", error)
            await asyncio.sleep(every_s)

    async def sweep(self) -> None:
        """Everything once."""
        for upload in await self._uploads.expire():
            await remove_parts(self._objects, upload.uid)
        await self._uploads.forget()
        await self._versions.purge()
        await self._datasets.purge()
        async with self._database.transaction() as tx:
            await idempotency.forget(tx, requests)
        await self._collect_blobs()
        await self._remove_orphans()

    async def _collect_blobs(self) -> None:
        waiting = data_jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING])
        referred = union(
            select(version_files.c.sha256),
            select(uploads.c.sha256).where(uploads.c.sha256.is_not(None)),
            select(data_jobs.c.sha256).where(waiting),
        )
        async with self._database.transaction() as tx:
            used = set((await tx.execute(referred)).scalars())
            before = await database_time(tx) - YOUNG
            await self._blobs.collect(tx, unused_before=before, used=used)

    async def _remove_orphans(self) -> None:
        """Objects without a row: a process died between writing the one and the other."""
        parts = [found.key async for found in self._objects.list(_PARTS)]
        # Asked after the listing: an upload that began meanwhile has no part in it.
        uids = await self._uploads.open_uids()
        for key in parts:
            if key.removeprefix(_PARTS).partition("/")[0] not in uids:
                await self._objects.delete(key)
        before = datetime.now(UTC) - YOUNG  # the store's clock and ours may differ by less than a day
        old = [found.key async for found in self._objects.list(_BLOBS) if found.modified < before]
        async with self._database.transaction() as tx:
            known = set((await tx.execute(select(blobs.c.key))).scalars())
        for key in old:
            if key not in known:
                await self._objects.delete(key)
