"""Imports: a file fetched from elsewhere, kept, and checked like an upload."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from services.core.blobs import Blobs, StoredBlob
from services.core.errors import ContentMissing
from services.data_service.checking import Made, NewVersion, check
from services.data_service.data_job import DataJob, JobPhase
from services.data_service.job_queue import JobQueue
from services.data_service.sources import drop_directory
from services.data_service.sources.source import Source
from services.data_service.workspace import Workspace

_FOLDER_SUFFIX = ".tar"


class Import:
    """Fetches by the scheme that the job's source begins with."""

    def __init__(self, queue: JobQueue, blobs: Blobs, sources: Mapping[str, Source]) -> None:
        self._queue = queue
        self._blobs = blobs
        self._sources = sources

    async def run(self, job: DataJob, space: Workspace) -> Made:
        """The version of what was fetched; a job that is taken up again does not fetch again.

        Raises:
            DomainError: of `sources.errors`.
            Refused: it has errors.
            StaleFence: the job was cancelled or taken over.
            ChildCrashed, DiskFull, ContentMissing, Unavailable: see Workspace.
        """
        job = job if job.sha256 else await self._fetched(job, space)
        original = await self._blobs.find(job.sha256)
        if original is None:
            raise ContentMissing(job.filename)
        file = await self._input(job, original, space)
        report, files = await check(space, file, job.filename, job.spec, "checked")
        version = NewVersion(
            dataset_id=job.dataset_id,
            filename=job.filename,
            original=original,
            report=report,
            files=files,
            source=job.spec.source,
        )
        return Made(version=version)

    async def _fetched(self, job: DataJob, space: Workspace) -> DataJob:
        space.enter(JobPhase.FETCHING)
        scheme, _, _ = job.spec.source.partition(":")
        found = await self._sources[f"{scheme}:"].fetch(job.spec.source, space)
        blob = await self._blobs.put(found.content, what=found.filename)
        noted = await self._queue.fetched(job, found.filename, blob, found.source)
        return replace(noted, fence=job.fence)

    async def _input(self, job: DataJob, original: StoredBlob, space: Workspace) -> Path:
        file = await space.file(original.key, "input")
        if not _is_folder(job):
            return file
        folder = space.folder / "input-files"
        await asyncio.to_thread(drop_directory.unpack, file, folder)
        return folder


def _is_folder(job: DataJob) -> bool:
    """Whether a folder of the drop directory was packed to be kept."""
    name = job.spec.source.removeprefix(drop_directory.SCHEME)
    return job.spec.source.startswith(drop_directory.SCHEME) and job.filename == name + _FOLDER_SUFFIX
