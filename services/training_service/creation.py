"""Accepting a job: checked, resolved and stored in one transaction, once per request id."""

from datetime import UTC, datetime

from aift.training.v1 import training_pb2 as pb

from services.core import context, idempotency, names
from services.core.db import Database
from services.core.errors import AlreadyExists, InvalidArgument
from services.core.idempotency import RequestKey
from services.training_service.admission import Admitted, admit
from services.training_service.domain import Job
from services.training_service.errors import SpecDoesNotFit
from services.training_service.plan import need_without_gpus
from services.training_service.quotas import Quotas
from services.training_service.resolution import Resolver
from services.training_service.shortfalls import without_room
from services.training_service.store import references
from services.training_service.store.jobs import Jobs
from services.training_service.store.tables import REQUESTS
from services.training_service.store.workers import Workers

_DEFAULT_PRIORITY = 50


class Creation:
    """CreateTrainingJob."""

    def __init__(self, database: Database, jobs: Jobs, workers: Workers, resolver: Resolver, quotas: Quotas) -> None:
        self._database = database
        self._jobs = jobs
        self._workers = workers
        self._resolver = resolver
        self._quotas = quotas

    async def create(self, request: pb.CreateTrainingJobRequest) -> Job:
        """The new job, or the one that the same request made before; with validate_only what it would be."""
        key = idempotency.key_of(request)
        before = await self._made_before(key)
        if before is not None:
            return before
        job = await self._job(request)
        return await self._checked(job) if request.validate_only else await self._store(key, job)

    async def _made_before(self, key: RequestKey) -> Job | None:
        """Looked for before names are resolved: a repeated call succeeds also when the data are gone by now."""
        row = await self._database.fetch_one(
            "SELECT resource, payload_sha256 FROM requests WHERE tenant = %s AND method = %s AND request_id = %s",
            (key.tenant, key.method, key.request_id),
        )
        if row is None or not row["resource"] or bytes(row["payload_sha256"]) != key.payload_sha256:
            return None
        return await self._jobs.get(key.tenant, _id_of(row["resource"]))

    async def _checked(self, job: Job) -> Job:
        async with self._database.transaction() as tx:
            await self._quotas.check(tx, job)
            if await self._jobs.is_taken(tx, job):
                raise AlreadyExists(job.name)
        return job

    async def _store(self, key: RequestKey, job: Job) -> Job:
        async with self._database.transaction() as tx:
            made = await idempotency.recall(tx, REQUESTS, key)
            if made is None:
                await self._quotas.check(tx, job)
                stored = await self._jobs.insert(tx, job)
                if stored is None:
                    raise AlreadyExists(job.name)
                await references.post(tx, stored, held=True)
                await idempotency.record(tx, REQUESTS, key, stored.name)
                return stored
        return await self._jobs.get(key.tenant, _id_of(made))

    async def _job(self, request: pb.CreateTrainingJobRequest) -> Job:
        call, wanted = context.current(), request.training_job
        if request.training_job_id:
            names.check_id(request.training_job_id, field="training_job_id")
        names.check_text(wanted.display_name, field="training_job.display_name")
        if wanted.sweep:
            names.check_id(wanted.sweep, field="training_job.sweep")
        priority = _priority(wanted.priority)
        workers = [worker.machine for worker in await self._workers.seen()]
        admitted: Admitted = await admit(self._resolver, wanted.spec, workers, path="training_job.spec")
        need = need_without_gpus(admitted, await self._resolver.lengths(admitted.rows, admitted.base))
        misfits = without_room(need, workers, "training_job.spec")
        if misfits:
            raise SpecDoesNotFit(misfits)
        now = datetime.now(UTC)
        return Job(
            tenant=call.tenant,
            id=request.training_job_id or names.new_id("job-"),
            uid=names.new_uid(),
            display_name=wanted.display_name,
            principal=call.principal,
            spec=admitted.spec,
            template_json=admitted.rows.template_json,
            sweep=wanted.sweep,
            notes=tuple(admitted.notes),
            priority=priority,
            memory_bytes=need.device_bytes,
            create_time=now,
            update_time=now,
        )


def _priority(value: int) -> int:
    if not 0 <= value <= 100:
        raise InvalidArgument.field(
            "training_job.priority",
            "OUT_OF_RANGE",
            f"Is {value}; choose 1 to 100, or 0 for the default of {_DEFAULT_PRIORITY}.",
            f"値 {value} は範囲外です。1〜100、または 0 (既定値 {_DEFAULT_PRIORITY}) を指定してください。",
        )
    return value or _DEFAULT_PRIORITY


def _id_of(name: str) -> str:
    return names.parse("trainingJobs/{job}", name)["job"]
