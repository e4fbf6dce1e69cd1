"""Rows of jobs and the events that every change of one writes, with numbers that follow the order of commits."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core.db import Database
from services.core.errors import NotFound
from services.core.pages import Page
from services.training_service.changes import EVENTS_CHANNEL, QUEUE_CHANNEL, topic
from services.training_service.domain import ENDED, LEASED, Failure, Job, JobState, NodeFailure, Outcome, Progress, Spec
from services.training_service.job_events import NewEvent, state_changed
from services.training_service.notes import Note
from services.training_service.store.tables import JOBS
from services.training_service.trainer.hyperparameters import Hyperparameters

_BY_NAME = "SELECT * FROM jobs WHERE tenant = %s AND id = %s AND delete_time IS NULL"
_COUNTS = "SELECT state, count(*) AS count FROM jobs WHERE tenant = %s AND delete_time IS NULL GROUP BY state"
_HELD = (
    "SELECT worker, id FROM jobs WHERE tenant = %s AND lease_expires_at IS NOT NULL AND delete_time IS NULL "
    "ORDER BY create_time"
)

# In one statement: what reports of a trainer cost is what the database is asked, above all.
_TELL = text(
    "WITH told AS (INSERT INTO events (tenant, job_id, attempt, sequence, time, kind, content) "
    "SELECT :tenant, :job_id, :attempt, event.* FROM unnest(CAST(:sequences AS bigint[]), "
    "CAST(:times AS timestamptz[]), CAST(:kinds AS text[]), CAST(:contents AS bytea[])) AS event) "
    "SELECT pg_notify(:channel, :topic)"
)


def row_is(tenant: str, job_id: str) -> ColumnElement[bool]:
    """The condition that selects one job."""
    return and_(JOBS.c.tenant == tenant, JOBS.c.id == job_id)


class Jobs:
    """Reads jobs, and changes them in transactions of the caller."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant: str, job_id: str) -> Job:
        """One job. Raises NotFound."""
        row = await self._database.fetch_one(_BY_NAME, (tenant, job_id))
        if row is None:
            raise NotFound(f"trainingJobs/{job_id}")
        return job_of(row)

    async def page(self, tenant: str, page: Page, states: Sequence[JobState], sweep: str) -> tuple[Sequence[Job], str]:
        """A page of jobs, newest first, and the token of the next; no states and no sweep mean all."""
        statement = select(JOBS).where(JOBS.c.tenant == tenant, JOBS.c.delete_time.is_(None))
        if states:
            statement = statement.where(JOBS.c.state.in_(states))
        if sweep:
            statement = statement.where(JOBS.c.sweep == sweep)
        async with self._database.transaction() as tx:
            found = await tx.execute(page.of(statement, JOBS.c.create_time, JOBS.c.id))
        shown, token = page.split([dict(row) for row in found.mappings()])
        return [job_of(row) for row in shown], token

    async def counts(self, tenant: str) -> dict[JobState, int]:
        """How many jobs are in each state that any is in."""
        rows = await self._database.fetch_all(_COUNTS, (tenant,))
        return {JobState(row["state"]): row["count"] for row in rows}

    async def held_by_worker(self, tenant: str) -> dict[str, list[str]]:
        """Names of the tenant's jobs that workers have now, by worker."""
        held: dict[str, list[str]] = {}
        for row in await self._database.fetch_all(_HELD, (tenant,)):
            held.setdefault(row["worker"], []).append(f"trainingJobs/{row['id']}")
        return held

    async def insert(self, tx: AsyncConnection, job: Job) -> Job | None:
        """Stores a new job, QUEUED, with its first event. None when the id is taken."""
        values = {
            "tenant": job.tenant,
            "id": job.id,
            "uid": job.uid,
            "display_name": job.display_name,
            "sweep": job.sweep,
            "notes": [asdict(note) for note in job.notes],
            "principal": job.principal,
            "spec": asdict(job.spec),
            "template_json": job.template_json,
            "priority": job.priority,
            "memory_bytes": job.memory_bytes,
        }
        made = await tx.execute(insert(JOBS).values(values).on_conflict_do_nothing().returning(JOBS.c.id))
        if made.first() is None:
            return None
        return await self.append(tx, job.tenant, job.id, [state_changed(JobState.QUEUED)])

    async def is_taken(self, tx: AsyncConnection, job: Job) -> bool:
        """Whether the id of a job that is not stored is another's, deleted ones among them."""
        return (await tx.execute(select(JOBS.c.id).where(row_is(job.tenant, job.id)))).first() is not None

    async def lock(self, tx: AsyncConnection, tenant: str, job_id: str) -> Job:
        """One job, locked until the transaction ends. Raises NotFound."""
        found = await tx.execute(select(JOBS).where(row_is(tenant, job_id)).with_for_update())
        row = found.mappings().one_or_none()
        if row is None or row["delete_time"] is not None:
            raise NotFound(f"trainingJobs/{job_id}")
        return job_of(row)

    async def move(
        self,
        tx: AsyncConnection,
        job: Job,
        state: JobState,
        *,
        before: Sequence[NewEvent] = (),
        failure: Failure | None = None,
        model_version: str = "",
        **columns: Any,
    ) -> Job:
        """Brings a locked job into another state, with the event that says so after those `before` it.

        Sets what the state implies: an ended job has its time, one without attempt has no lease.
        """
        columns |= {"state": state, "model_version": model_version}
        columns["failure"] = None if failure is None else asdict(failure)
        if state in ENDED:
            columns["end_time"] = func.clock_timestamp()
        if state not in LEASED:
            columns["lease_expires_at"] = None
        event = state_changed(state, failure=failure, model_version=model_version)
        moved = await self.append(tx, job.tenant, job.id, [*before, event], **columns)
        if state is JobState.QUEUED:
            await notify(tx, QUEUE_CHANNEL, "")
        return moved

    async def append(
        self, tx: AsyncConnection, tenant: str, job_id: str, events: Sequence[NewEvent], **columns: Any
    ) -> Job:
        """Writes events and changes columns. The update of the job's row hands the numbers out, so that whoever
        has read up to a number never misses a smaller one that commits later."""
        sequence = JOBS.c.last_sequence + len(events)
        statement = (
            update(JOBS)
            .where(row_is(tenant, job_id))
            .values(last_sequence=sequence, update_time=func.clock_timestamp(), **columns)
            .returning(JOBS)
        )
        row = (await tx.execute(statement)).mappings().one()
        if events:
            await tx.execute(_TELL, _told(row, events))
        return job_of(row)


def _told(row: RowMapping, events: Sequence[NewEvent]) -> dict[str, Any]:
    last = row["last_sequence"]
    return {
        "tenant": row["tenant"],
        "job_id": row["id"],
        "attempt": row["attempt"],
        "sequences": list(range(last - len(events) + 1, last + 1)),
        "times": [event.time or row["update_time"] for event in events],
        "kinds": [event.kind for event in events],
        "contents": [event.content for event in events],
        "channel": EVENTS_CHANNEL,
        "topic": topic(row["tenant"], row["id"]),
    }


async def notify(tx: AsyncConnection, channel: str, payload: str) -> None:
    """Wakes the listeners of a channel once the transaction has committed."""
    await tx.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload})


def job_of(row: Mapping[str, Any] | RowMapping) -> Job:
    """A row as the domain sees it."""
    return Job(
        tenant=row["tenant"],
        id=row["id"],
        uid=row["uid"],
        display_name=row["display_name"],
        principal=row["principal"],
        spec=_spec_of(row["spec"]),
        template_json=row["template_json"],
        sweep=row["sweep"],
        notes=tuple(Note(**note) for note in row["notes"]),
        adjustments=row["adjustments"],
        state=JobState(row["state"]),
        progress=Progress(**row["progress"]),
        priority=row["priority"],
        attempt=row["attempt"],
        fence=row["fence"],
        worker=row["worker"],
        memory_bytes=row["memory_bytes"],
        processes=row["processes"],
        lost_attempts=row["lost_attempts"],
        attempt_sequence=row["attempt_sequence"],
        node_failure=_node_failure_of(row["node_failure"]),
        last_sequence=row["last_sequence"],
        model_version=row["model_version"],
        failure=_failure_of(row["failure"]),
        metrics=row["metrics"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        start_time=row["start_time"],
        end_time=row["end_time"],
    )


def _failure_of(stored: Mapping[str, Any] | None) -> Failure | None:
    return Failure(**stored) if stored else None


def _node_failure_of(stored: Mapping[str, Any] | None) -> NodeFailure | None:
    if not stored:
        return None
    return NodeFailure(outcome=Outcome(stored["outcome"]), failure=_failure_of(stored["failure"]))


def _spec_of(stored: Mapping[str, Any]) -> Spec:
    values = dict(stored)
    hyperparameters = dict(values.pop("hyperparameters"))
    targets = tuple(hyperparameters.pop("lora_target_modules"))
    prompts = tuple(values.pop("sample_prompts"))
    return Spec(
        hyperparameters=Hyperparameters(lora_target_modules=targets, **hyperparameters),
        sample_prompts=prompts,
        **values,
    )
