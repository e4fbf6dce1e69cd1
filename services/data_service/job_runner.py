"""Works at data jobs, one or several at a time, as long as the process lives."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psutil

from services.core.blobs import Blobs
from services.core.errors import DomainError, NotFound, StaleFence
from services.core.objects import ObjectStore
from services.data_service.checking import Checking
from services.data_service.domain import INDEX_PATH, ROWS_PATH, DataJob
from services.data_service.errors import DatasetGone, ValidationCrashed
from services.data_service.job_queue import JobQueue, Results
from services.data_service.report import Report

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
BEAT_S = 1.0
"""Between two signs of life; also how soon a cancelled job's process ends."""
_LOOK_EVERY_S = 2.0
_PAUSE_AFTER_TROUBLE_S = 1.0


class JobRunner:
    """Claims jobs and runs their checks in folders below `work_dir`, `processes` at a time."""

    def __init__(self, queue: JobQueue, objects: ObjectStore, blobs: Blobs, work_dir: Path, *, processes: int) -> None:
        self._queue = queue
        self._objects = objects
        self._blobs = blobs
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
            await self._beat_and_check(job)
        except asyncio.CancelledError:
            await self._give_back(job)
            raise
        except ExceptionGroup as trouble:
            if trouble.split(StaleFence)[1] is None:
                log.info("data job was stopped or taken over", extra={"job": job.name})
                return
            log.warning("data job is given back", extra={"job": job.name}, exc_info=True)
            await self._give_back(job)

    async def _beat_and_check(self, job: DataJob) -> None:
        async with asyncio.TaskGroup() as group:
            with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=self._work_dir) as folder:
                checking = Checking(self._objects, self._blobs, job, Path(folder))
                beating = group.create_task(self._beat(job, checking))
                await self._check(job, checking)
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
                await asyncio.wait_for(self._asked.wait(), _LOOK_EVERY_S)

    async def _check(self, job: DataJob, checking: Checking) -> None:
        if job.attempt > MAX_ATTEMPTS:
            await self._queue.fail(job, ValidationCrashed(job.attempt - 1))
            return
        report = await checking.run()
        if report is None:
            log.error("the checking process ended without a result", extra={"job": job.name, "attempt": job.attempt})
            await self._queue.give_back(job)
        elif report.valid:
            await self._publish(job, report, checking)
        else:
            await self._queue.fail(job, report.error(), report)

    async def _publish(self, job: DataJob, report: Report, checking: Checking) -> None:
        results = Results(rows=await checking.store(ROWS_PATH), index=await checking.store(INDEX_PATH))
        try:
            await self._queue.succeed(job, report, results)
        except NotFound:
            await self._queue.fail(job, DatasetGone(f"datasets/{job.dataset_id}"), report)

    async def _beat(self, job: DataJob, checking: Checking) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self._queue.beat(job, checking.progress.done_bytes, checking.progress.rows)
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
