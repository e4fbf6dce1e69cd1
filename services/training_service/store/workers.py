"""Rows of workers: what each has, and when it was heard last."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aift.training.v1 import training_pb2 as pb
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from services.core.db import Database
from services.training_service.domain import JobState
from services.training_service.store.requirements import READY, met_by
from services.training_service.store.tables import JOBS, WORKERS

_SEEN = (
    "SELECT name, machine, last_seen_time FROM workers "
    "WHERE last_seen_time > clock_timestamp() - interval '60 seconds' ORDER BY name"
)
_ONE = "SELECT machine FROM workers WHERE name = %s"


@dataclass(frozen=True, kw_only=True)
class SeenWorker:
    """A worker that was heard in the last minute."""

    name: str
    machine: pb.MachineStatus
    last_seen_time: datetime


class Workers:
    """Keeps what workers report."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(self, name: str, machine: pb.MachineStatus) -> None:
        """The worker lives and looks like this."""
        values = {"machine": machine.SerializeToString(), "last_seen_time": func.clock_timestamp()}
        statement = insert(WORKERS).values(name=name, **values)
        async with self._database.transaction() as tx:
            await tx.execute(statement.on_conflict_do_update(index_elements=[WORKERS.c.name], set_=values))

    async def seen(self) -> Sequence[SeenWorker]:
        """Workers of the last minute, by name."""
        rows = await self._database.fetch_all(_SEEN)
        return [
            SeenWorker(
                name=row["name"],
                machine=pb.MachineStatus.FromString(row["machine"]),
                last_seen_time=row["last_seen_time"],
            )
            for row in rows
        ]

    async def job_waits(self, machine: pb.MachineStatus) -> bool:
        """Whether any tenant's job waits, and could begin now, that a machine can run if all of its GPUs are free."""
        waits = select(JOBS.c.id).where(JOBS.c.state == JobState.QUEUED, READY, met_by(machine, len(machine.gpus)))
        async with self._database.transaction() as tx:
            return (await tx.execute(waits.limit(1))).first() is not None

    async def machine(self, name: str) -> pb.MachineStatus:
        """What a worker has; an empty message where it never reported."""
        row = await self._database.fetch_one(_ONE, (name,))
        return pb.MachineStatus.FromString(row["machine"]) if row else pb.MachineStatus()
