"""Works at data jobs, one or several at a time, as long as the process lives."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol

import psutil

from services.core.blobs import Blobs
from services.core.disk import is_full
from services.core.errors import DiskFull, DomainError, NotFound, StaleFence
from services.core.objects import ObjectStore
from services.data_service.checking import Made, Refused
from services.data_service.data_job import DataJob, JobKind
from services.data_service.domain import TokenStatistics
from services.data_service.errors import DatasetGone, ValidationCrashed
from services.data_service.job_queue import JobQueue
from services.data_service.workspace import ChildCrashed, Workspace

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
BEAT_S = 1.0
"""Between two signs of life; also how soon a cancelled job's process ends."""
_LOOK_EVERY_S = 2.0
_PAUSE_AFTER_TROUBLE_S = 1.0


class Work(Protocol):
    """What is done for one kind of job."""

    async def run(self, job: DataJob, space: Workspace) -> Made | TokenStatistics:
        """The result. Cancelling ends everything that it started.

        Raises:
            Refused: the data have errors.
            ChildCrashed: to be tried again.
            DomainError: UNAVAILABLE is tried again; anything else is why the job fails.
        """


class JobRunner:
    """Claims jobs and works at them in folders below `work_dir`, `processes` at a time."""

    def __init__(
        self,
        queue: JobQueue,
        objects: ObjectStore,
        blobs: Blobs,
        works: Mapping[JobKind, Work],
        work_dir: Path,
        *,
        processes: int,
    ) -> None:
        self._queue = queue
        self._objects = objects
        self._blobs = blobs
        self._works = works
        self._work_dir = work_dir
        self._processes = processes
        self._asked = asyncio.Event()

    def wake(self) -> None:
        """There may be a new job."""
        self._asked.set()

    async def run(self) -> None:
        """Works until cancelled; a job that is under way then waits for the next process."""
        await asyncio.to_thread(self._tidy)
        since = await self._begin()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._processes):
                group.create_task(self._work(since))

    async def attend(self, job: DataJob) -> None:
        """Brings a claimed job to its end, or gives it back."""
        try:
            await self._beat_and_work(job)
        except asyncio.CancelledError:
            await self._give_back(job)
            raise
        except ExceptionGroup as trouble:
            if trouble.split(StaleFence)[1] is None:
                log.info("data job was stopped or taken over", extra={"job": job.name})
                return
            log.warning("data job is given back", extra={"job": job.name}, exc_info=True)
            await self._give_back(job)

    async def _beat_and_work(self, job: DataJob) -> None:
        async with asyncio.TaskGroup() as group:
            with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=self._work_dir) as folder:
                space = Workspace(self._objects, self._blobs, Path(folder))
                beating = group.create_task(self._beat(job, space))
                await self._work_at(job, space)
                beating.cancel()

    async def _begin(self) -> datetime:
        while True:
            try:
                return await self._queue.now()
            except DomainError:
                await asyncio.sleep(_PAUSE_AFTER_TROUBLE_S)

    async def _work(self, since: datetime) -> None:
        while True:
            self._asked.clear()
            try:
                await self._queue.take_back(since)
                job = await self._queue.claim()
                if job is not None:
                    await self.attend(job)
                    continue
            except DomainError as error:
                log.warning("data jobs cannot be worked at now: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._asked.wait()

    async def _work_at(self, job: DataJob, space: Workspace) -> None:
        if job.attempt > MAX_ATTEMPTS:
            await self._queue.fail(job, ValidationCrashed(job.attempt - 1))
            return
        try:
            result = await self._works[job.kind].run(job, space)
        except Refused as refused:
            await self._queue.fail(job, refused.report.error(), refused.report)
        except ChildCrashed:
            log.exception(
                "a data job's process ended without a result", extra={"job": job.name, "attempt": job.attempt}
            )
            await self._queue.give_back(job)
        except DomainError as error:
            if isinstance(error, StaleFence) or error.status == "UNAVAILABLE":
                raise
            await self._queue.fail(job, error)
        except OSError as error:
            if not is_full(error):
                raise
            await self._queue.fail(job, DiskFull())
        else:
            await self._end(job, result)

    async def _end(self, job: DataJob, result: Made | TokenStatistics) -> None:
        try:
            if isinstance(result, TokenStatistics):
                await self._queue.counted(job, result)
            else:
                await self._queue.succeed(job, result)
        except NotFound:
            await self._queue.fail(job, DatasetGone(f"datasets/{job.dataset_id}"))

    async def _beat(self, job: DataJob, space: Workspace) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self._queue.beat(job, space.phase, space.progress)
            except StaleFence:
                raise
            except DomainError as error:
                log.warning("no sign of life could be given: %s", error, extra={"job": job.name})

    async def _give_back(self, job: DataJob) -> None:
        """Best effort: without it the job waits until its lease lapses."""
        try:
            await self._queue.give_back(job)
        except DomainError as error:
            log.info("data job could not be given back: %s", error, extra={"job": job.name})

    def _tidy(self) -> None:
        """Removes folders that a killed process left."""
        self._work_dir.mkdir(parents=True, exist_ok=True)
        for folder in self._work_dir.iterdir():
            owner = int(folder.name.partition("-")[0])
            # In a container our own number may have been that of the one before us.
            if owner == os.getpid() or not psutil.pid_exists(owner):
                shutil.rmtree(folder)
