"""Takes away, now and then, what nobody needs."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from pathlib import Path

from services.core.errors import DomainError
from services.core.objects import ObjectStore
from services.registry_service.garbage_store import GarbageStore

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 3600.0
_SCRATCH_KEPT_S = 24 * 3600.0


class Sweeper:
    """Purges, collects blobs, and clears what a killed process left behind."""

    def __init__(self, garbage: GarbageStore, store: ObjectStore, *, prefix: str, scratch: Path) -> None:
        self._garbage = garbage
        self._store = store
        self._prefix = prefix
        self._scratch = scratch

    async def run(self) -> None:
        """Sweeps every hour until cancelled."""
        while True:
            try:
                await self.sweep()
            except DomainError as error:
                log.warning("sweep is put off", extra={"cause": str(error)})
            except Exception:
                # The next sweep may fare better, and serving must go on; the log tells what is wrong.
                log.exception("sweep failed")
            await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep(self) -> None:
        """One round. Objects go after their rows: dying in between leaves strays, never a row without bytes."""
        purged = await self._garbage.purge()
        garbage = await self._garbage.forget_blobs()
        for key in garbage:
            await self._store.delete(key)
        # Only what looks like a blob of ours: this is a shared store.
        lying = [one.key async for one in self._store.list(f"{self._prefix}/blobs/")]
        strays = await self._garbage.strays(lying)
        for key in strays:
            await self._store.delete(key)
        await asyncio.to_thread(_clear, self._scratch)
        log.info("swept", extra={"purged": purged, "blobs": len(garbage), "strays": len(strays)})


def _clear(scratch: Path) -> None:
    """Removes downloads that were not touched for a day."""
    for folder in scratch.iterdir() if scratch.is_dir() else ():
        if time.time() - folder.stat().st_mtime > _SCRATCH_KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)
