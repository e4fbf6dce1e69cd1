"""Following a job: what happened after a number, then what happens, until its final state."""

import time
from collections.abc import AsyncIterator

from aift.training.v1 import training_pb2 as pb

from services.core.db import Database
from services.core.errors import Draining
from services.training_service import job_events, messages
from services.training_service.archive import Archive
from services.training_service.changes import EVENTS_CHANNEL, Changes, topic
from services.training_service.domain import ENDED
from services.training_service.store import events
from services.training_service.store.jobs import Jobs

_AT_ONCE = 500
_FINAL = frozenset(messages.state_to(state) for state in ENDED)


class Watch:
    """WatchTrainingJob."""

    def __init__(
        self, database: Database, jobs: Jobs, changes: Changes, archive: Archive, *, keepalive_s: float
    ) -> None:
        self._archive = archive
        self._database = database
        self._jobs = jobs
        self._changes = changes
        self._keepalive_s = keepalive_s

    async def follow(self, tenant: str, job_id: str, after: int) -> AsyncIterator[pb.TrainingEvent]:
        """Events with numbers above `after`. Raises NotFound, and Draining when this process stops."""
        quiet_since = time.monotonic()
        with self._changes.subscribe(EVENTS_CHANNEL, topic(tenant, job_id)) as news:
            job = await self._jobs.get(tenant, job_id)
            while True:
                rows = await events.after(self._database, tenant, job_id, after, limit=_AT_ONCE)
                for row in rows:
                    event = job_events.event(**row)
                    yield event
                    after, quiet_since = event.sequence, time.monotonic()
                    if event.HasField("state_changed") and event.state_changed.state in _FINAL:
                        return
                if not rows and job.state in ENDED:
                    async for event in self._archive.read(tenant, job_id, after):
                        yield event
                    return
                if len(rows) < _AT_ONCE and job.state not in ENDED:  # what came since is news
                    await news.wait(self._patience_s(quiet_since))
                    if self._changes.stopping:
                        raise Draining
                    if time.monotonic() - quiet_since >= self._keepalive_s:
                        yield pb.TrainingEvent()
                        quiet_since = time.monotonic()
                        job = await self._jobs.get(tenant, job_id)

    def _patience_s(self, quiet_since: float) -> float:
        """Until the next sign of life is due or, sooner, trust in being told ends."""
        due = quiet_since + self._keepalive_s - time.monotonic()
        return max(min(due, self._changes.poll_s), 0.01)
