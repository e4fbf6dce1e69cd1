"""Runs the imports of base models, by lease, so that they survive the end of the process that began them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from services.core.context import new_request_id
from services.core.errors import DomainError, Internal, NotFound, StaleFence, Unavailable
from services.core.objects import ObjectStore
from services.registry_service.domain import Failure, HubSource, StoredFile
from services.registry_service.errors import ImportInterrupted
from services.registry_service.folder import Folder
from services.registry_service.hub_import import HubImport
from services.registry_service.import_queue import LEASE_S, Claim, ImportQueue
from services.registry_service.inspection import inspect
from services.registry_service.intake import Intake
from services.registry_service.progress import ImportProgress

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 8
_LOOK_EVERY_S = 2.0
_TELL_EVERY_S = 1.0
_LONGEST_PAUSE_S = 60.0
_TELLS_UNTIL_LOST = round(LEASE_S / _TELL_EVERY_S)
Ending = Callable[[], Awaitable[None]]
"""Writes how an import ended."""


class Importing:
    """Begins waiting imports, a few at a time."""

    def __init__(
        self, queue: ImportQueue, intake: Intake, hub: HubImport, store: ObjectStore, *, concurrency: int
    ) -> None:
        self._queue = queue
        self._intake = intake
        self._hub = hub
        self._store = store
        self._concurrency = concurrency
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """An import waits: look now."""
        self._wake.set()

    async def run(self) -> None:
        """Works until cancelled; what it was at then, another process goes on with at once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            claim = await self._claim()
            if claim is not None:
                await self._work(claim)
                continue
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):  # wait_for of Python 3.11 may swallow a cancellation
                    await self._wake.wait()

    async def _claim(self) -> Claim | None:
        try:
            return await self._queue.claim()
        except Unavailable:
            return None  # readiness tells of it; we look again in a moment

    async def _work(self, claim: Claim) -> None:
        progress = ImportProgress()
        log.info("import begins", extra={"base_model": claim.id, "owner": claim.tenant, "attempt": claim.attempt})
        work = asyncio.create_task(self._outcome(claim, progress))
        keeper = asyncio.create_task(self._keep(claim, progress))
        try:
            await asyncio.wait({work, keeper}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await self._record(work.result())
            else:
                keeper.result()
                log.warning("import was taken away or deleted", extra={"base_model": claim.id})
        except asyncio.CancelledError:
            keeper.cancel()
            await self._record(partial(self._queue.release, claim, after_s=0))
            raise
        finally:
            work.cancel()
            keeper.cancel()
            await asyncio.gather(work, keeper, return_exceptions=True)

    async def _outcome(self, claim: Claim, progress: ImportProgress) -> Ending:
        """Does the import; what is to be written of its end."""
        try:
            files = await self._take_in(claim, progress)
            found = await inspect(Folder(self._store, files))
            await self._intake.hold(files)
        except Unavailable as error:
            return self._interrupted(claim, error, progress)
        except DomainError as error:
            return partial(self._queue.fail, claim, _failure(error), progress)
        except Exception:
            request_id = new_request_id()
            log.exception("import failed unexpectedly", extra={"base_model": claim.id, "request_id": request_id})
            return partial(self._queue.fail, claim, _failure(Internal(request_id)), progress)
        return partial(self._queue.finish, claim, files, found, progress)

    async def _take_in(self, claim: Claim, progress: ImportProgress) -> tuple[StoredFile, ...]:
        if isinstance(claim.source, HubSource):
            return await self._hub.run(claim.source, claim.uid, progress)
        progress.total_bytes = sum(file.size_bytes for file in claim.source)
        return await self._intake.adopt(claim.source, progress.add)

    def _interrupted(self, claim: Claim, error: Unavailable, progress: ImportProgress) -> Ending:
        """Something of ours is away: the import is begun again later, but not for ever."""
        if claim.attempt >= MAX_ATTEMPTS:
            gave_up = ImportInterrupted(attempts=claim.attempt, cause=error.params["dependency"])
            return partial(self._queue.fail, claim, _failure(gave_up), progress)
        log.warning("import is interrupted", extra={"base_model": claim.id, "cause": str(error)})
        return partial(self._queue.release, claim, after_s=min(2.0**claim.attempt, _LONGEST_PAUSE_S))

    async def _keep(self, claim: Claim, progress: ImportProgress) -> None:
        """Renews the lease until it is lost: to another, by deletion, or because the database stays away."""
        failed = 0
        while failed < _TELLS_UNTIL_LOST:
            await asyncio.sleep(_TELL_EVERY_S)
            try:
                await self._queue.renew(claim, progress)
            except (StaleFence, NotFound):
                return
            except Unavailable:
                failed += 1
            else:
                failed = 0

    async def _record(self, write: Ending) -> None:
        """Writes the end of an import. Where that cannot be done, the lease runs out and it is begun again."""
        try:
            await write()
        except (StaleFence, NotFound, Unavailable) as error:
            log.warning("end of an import was not written", extra={"cause": str(error)})


def _failure(error: DomainError) -> Failure:
    return Failure(reason=error.reason, en=error.text("en"), ja=error.text("ja"))
