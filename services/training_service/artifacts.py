"""Checkpoints and results: where agents write them, and how they become visible."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

from aift.common.v1 import blob_pb2
from aift.registry.v1 import registry_pb2
from aift.training.v1 import worker_pb2
from google.protobuf import json_format
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core import names
from services.core.db import Database
from services.core.errors import InvalidArgument, StaleFence
from services.core.leases import database_time
from services.core.objects import ObjectStore
from services.training_service import job_events, messages
from services.training_service.attempts import Attempts, Hold
from services.training_service.changes import OUTBOX_CHANNEL
from services.training_service.domain import Checkpoint, Failure, Job, JobState, NodeFailure, Outcome, StoredFile
from services.training_service.errors import FileMissing
from services.training_service.store import checkpoints, files, outbox
from services.training_service.store.jobs import Jobs, notify

# Long enough for the largest file over a slow line; a fresh one costs one call.
_URL_SECONDS = 6 * 3600.0
_MAX_FILES = 1000
_MAX_PATH = 512
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STATS_AT_ONCE = 16


class Artifacts:
    """Takes over what attempts write into the object store."""

    def __init__(
        self, database: Database, jobs: Jobs, attempts: Attempts, store: ObjectStore, *, keep_checkpoints: int
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._attempts = attempts
        self._store = store
        self._keep_checkpoints = keep_checkpoints

    async def prepare(self, hold: Hold, wanted: Sequence[blob_pb2.FileEntry]) -> list[worker_pb2.FileTarget]:
        """Gives a key and an address for each file. Raises InvalidArgument or StaleFence."""
        _check_entries(wanted)
        announced = [
            StoredFile(path=entry.path, size_bytes=entry.size_bytes, sha256=entry.sha256, key=_new_key(hold.job_id))
            for entry in wanted
        ]
        async with self._database.transaction() as tx:
            await files.announce(tx, await self._attempts.held(tx, hold), announced)
        return [
            worker_pb2.FileTarget(path=file.path, key=file.key, url=await self._store.write_url(file.key, _URL_SECONDS))
            for file in announced
        ]

    async def commit_checkpoint(
        self, hold: Hold, step: int, written: Sequence[worker_pb2.WrittenFile], eval_loss: float | None
    ) -> Checkpoint:
        """Makes a checkpoint visible. Raises StaleFence, FileMissing or InvalidArgument."""
        await self._check_stored(written)
        async with self._database.transaction() as tx:
            job = await self._attempts.held(tx, hold)
            keys = await _announced_keys(tx, job, written)
            if await files.is_checkpoint(tx, job, step, keys):
                # Committed before, and the answer was lost on its way. It may have been superseded meanwhile.
                return await _committed(tx, job, step, written, eval_loss)
            before = await checkpoints.newest(tx, job.tenant, job.id)
            saved = await checkpoints.commit(
                tx, job, step=step, keys=keys, eval_loss=eval_loss, keep_last=self._keep_checkpoints
            )
            # Only what lies further on shows that the job gets somewhere.
            progressed = {"lost_attempts": 0} if before is None or step > before.step else {}
            await self._jobs.append(tx, job.tenant, job.id, [job_events.checkpoint(saved)], **progressed)
        return saved

    async def finish(self, hold: Hold, request: worker_pb2.FinishAttemptRequest, outcome: Outcome) -> None:
        """Ends an attempt as its agent says. Raises StaleFence, FileMissing or InvalidArgument."""
        if outcome is Outcome.SUCCEEDED:
            await self._check_stored(request.files)
        failure = messages.failure_from(request.failure) if request.HasField("failure") else None
        async with self._database.transaction() as tx:
            try:
                job = await self._attempts.held(tx, hold)
            except StaleFence:
                if await self._attempts.has_ended(tx, hold, outcome):
                    return
                raise
            if outcome is Outcome.SUCCEEDED:
                await files.keep_result(tx, job, await _announced_keys(tx, job, request.files))
            await self._end(tx, job, outcome, failure, request)

    async def take_node_failure(self, hold: Hold, request: worker_pb2.FinishAttemptRequest, outcome: Outcome) -> None:
        """Keeps what a node told first of its end, for the end that the agent of the first node makes of the attempt.

        Raises StaleFence.
        """
        failure = messages.failure_from(request.failure) if request.HasField("failure") else None
        async with self._database.transaction() as tx:
            job = await self._attempts.held(tx, hold)
            if job.node_failure is None:
                log = job_events.reported("log", request.log, await database_time(tx))
                told = NodeFailure(outcome=outcome, failure=failure)
                events = [log] if request.log.lines else []
                await self._jobs.append(tx, job.tenant, job.id, events, node_failure=asdict(told))

    async def _end(
        self,
        tx: AsyncConnection,
        job: Job,
        outcome: Outcome,
        failure: Failure | None,
        request: worker_pb2.FinishAttemptRequest,
    ) -> None:
        metrics = dict(request.metrics) if request.metrics else None
        ended = await self._attempts.end(tx, job, outcome, failure=failure, metrics=metrics)
        if ended.state is JobState.PUBLISHING:
            await outbox.post(tx, ended, version_request(ended, request.files, request.template_json))
            await notify(tx, OUTBOX_CHANNEL, "")

    async def _check_stored(self, written: Sequence[worker_pb2.WrittenFile]) -> None:
        if not written:
            raise InvalidArgument.field(
                "files", "EMPTY", "Name at least one file.", "ファイルを 1 つ以上指定してください。"
            )
        at_once = asyncio.Semaphore(_STATS_AT_ONCE)

        async def check(file: worker_pb2.WrittenFile) -> None:
            async with at_once:
                found = await self._store.stat(file.key)
            if found != file.size_bytes:
                raise FileMissing(file.path, expected=file.size_bytes, found=found or 0)

        await asyncio.gather(*(check(file) for file in written))


def version_request(
    job: Job, written: Sequence[worker_pb2.WrittenFile], template_json: str
) -> registry_pb2.CreateModelVersionRequest:
    """What the registry is told of a result."""
    adapter = job.spec.hyperparameters.method != "full"
    version = registry_pb2.ModelVersion(
        kind=registry_pb2.MODEL_KIND_ADAPTER if adapter else registry_pb2.MODEL_KIND_FULL,
        base_model=job.spec.base_model,
        base_model_digest=job.spec.base_model_digest,
        dataset_version=job.spec.dataset_version,
        training_job=job.name,
        template_json=template_json,
        metrics=dict(job.metrics),
    )
    used = messages.hyperparameters_to(job.hyperparameters)
    version.hyperparameters.update(_plain(json_format.MessageToDict(used, preserving_proto_field_name=True)))
    blobs = [
        blob_pb2.FileBlob(
            path=file.path, blob=blob_pb2.Blob(sha256=file.sha256, size_bytes=file.size_bytes, key=file.key)
        )
        for file in written
    ]
    return registry_pb2.CreateModelVersionRequest(
        model=job.spec.model, model_version=version, files=blobs, display_name=job.display_name
    )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON writes 64-bit integers as text; a Struct shows them as the numbers that they are."""
    return {
        name: int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else value
        for name, value in values.items()
    }


async def _committed(
    tx: AsyncConnection, job: Job, step: int, written: Sequence[worker_pb2.WrittenFile], eval_loss: float | None
) -> Checkpoint:
    """What an earlier call of the same content answered."""
    return Checkpoint(
        job_id=job.id,
        step=step,
        attempt=job.attempt,
        files=tuple(_stored(file) for file in written),
        eval_loss=eval_loss,
        create_time=await database_time(tx),
    )


def _stored(file: worker_pb2.WrittenFile) -> StoredFile:
    return StoredFile(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256, key=file.key)


async def _announced_keys(tx: AsyncConnection, job: Job, written: Sequence[worker_pb2.WrittenFile]) -> Sequence[str]:
    """The keys, if they are what this attempt announced. Raises InvalidArgument."""
    announced = await files.announced(tx, job)
    for index, file in enumerate(written):
        if announced.get(file.key) != _stored(file):
            raise InvalidArgument.field(
                f"files[{index}]",
                "NOT_PREPARED",
                "Is not what PrepareFiles gave this attempt.",
                "PrepareFiles でこの試行に割り当てられたものではありません。",
            )
    return [file.key for file in written]


def _check_entries(entries: Sequence[blob_pb2.FileEntry]) -> None:
    if not 0 < len(entries) <= _MAX_FILES:
        raise InvalidArgument.field(
            "files",
            "OUT_OF_RANGE",
            f"Name 1 to {_MAX_FILES} files.",
            f"1〜{_MAX_FILES} 個のファイルを指定してください。",
        )
    for index, entry in enumerate(entries):
        path = PurePosixPath(entry.path)
        unsafe = path.is_absolute() or ".." in path.parts or not path.parts or len(entry.path) > _MAX_PATH
        if unsafe or entry.size_bytes < 0 or _SHA256.fullmatch(entry.sha256) is None:
            raise InvalidArgument.field(
                f"files[{index}]",
                "INVALID_FILE",
                "Needs a relative path, a length and a SHA-256.",
                "相対パス・サイズ・SHA-256 を正しく指定してください。",
            )


def _new_key(job_id: str) -> str:
    return f"training/{job_id}/{names.new_id()}"
