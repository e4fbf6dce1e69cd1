"""What agents tell while they train: taken in once, in order, and turned into events and figures."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC
from typing import Any

from aift.training.v1 import worker_pb2
from sqlalchemy import func

from services.core.db import Database
from services.core.errors import InvalidArgument, OutOfRange
from services.training_service import messages
from services.training_service.attempts import Attempts, Hold
from services.training_service.domain import Job, JobState, Phase, Progress
from services.training_service.job_events import NewEvent, reported, state_changed
from services.training_service.store.events import StepFigures, record_steps
from services.training_service.store.jobs import Jobs
from services.training_service.store.tables import JOBS

_MAX_EVENTS = 1000
# Until then a worker only fetches what it needs.
_NOT_YET_RUNNING = (Phase.UNSPECIFIED, Phase.FETCHING)


class Reports:
    """Takes in the events of attempts."""

    def __init__(self, database: Database, jobs: Jobs, attempts: Attempts) -> None:
        self._database = database
        self._jobs = jobs
        self._attempts = attempts

    async def take(self, hold: Hold, events: Sequence[worker_pb2.AttemptEvent]) -> tuple[Job, int]:
        """Stores what is new; returns the job as it is now and the next number that is expected.

        Raises StaleFence, OutOfRange for a gap, InvalidArgument for too many or an event without content.
        """
        _check(events)
        async with self._database.transaction() as tx:
            job = await self._attempts.held(tx, hold)
            fresh = list(_fresh(job, events))
            if fresh:
                await record_steps(tx, job, [_figures(e) for e in fresh if e.WhichOneof("content") == "metric"])
                job = await self._jobs.append(tx, job.tenant, job.id, _rows(job, fresh), **_columns(job, fresh))
        return job, job.attempt_sequence + 1


def _check(events: Sequence[worker_pb2.AttemptEvent]) -> None:
    if len(events) > _MAX_EVENTS:
        raise InvalidArgument.field(
            "events",
            "TOO_MANY",
            f"{len(events)} events; send at most {_MAX_EVENTS} at once.",
            f"イベントが {len(events)} 件あります。一度に {_MAX_EVENTS} 件までにしてください。",
        )
    for index, event in enumerate(events):
        if event.WhichOneof("content") is None:
            raise InvalidArgument.field(
                f"events[{index}]", "EMPTY", "Has no content that this server knows.", "未対応の内容です。"
            )


def _fresh(job: Job, events: Sequence[worker_pb2.AttemptEvent]) -> Iterator[worker_pb2.AttemptEvent]:
    expected = job.attempt_sequence + 1
    for event in events:
        if event.attempt_sequence < expected:
            continue
        if event.attempt_sequence > expected:
            raise OutOfRange("attempt_sequence", value=event.attempt_sequence, expected=expected)
        expected += 1
        yield event


def _rows(job: Job, events: Sequence[worker_pb2.AttemptEvent]) -> list[NewEvent]:
    told = [_row(event) for event in events]
    return [state_changed(JobState.RUNNING), *told] if _starts(job, events) else told


def _row(event: worker_pb2.AttemptEvent) -> NewEvent:
    kind = str(event.WhichOneof("content"))
    return reported(kind, getattr(event, kind), event.time.ToDatetime(tzinfo=UTC))


def _columns(job: Job, events: Sequence[worker_pb2.AttemptEvent]) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "attempt_sequence": events[-1].attempt_sequence,
        "progress": asdict(_progress(job.progress, events)),
    }
    if _starts(job, events):
        columns |= {"state": JobState.RUNNING, "start_time": func.coalesce(JOBS.c.start_time, func.clock_timestamp())}
    return columns


def _starts(job: Job, events: Sequence[worker_pb2.AttemptEvent]) -> bool:
    """Whether with these events the trainer runs."""
    return job.state is JobState.PROVISIONING and any(
        event.HasField("progress") and messages.progress_from(event.progress).phase not in _NOT_YET_RUNNING
        for event in events
    )


def _progress(before: Progress, events: Sequence[worker_pb2.AttemptEvent]) -> Progress:
    """The newest progress, with the loss of a newer metric. JSON has no NaN; the event keeps it."""
    now = before
    for event in events:
        if event.HasField("progress"):
            now = messages.progress_from(event.progress)
        elif event.HasField("metric") and "loss" in event.metric.values:
            now = replace(now, step=event.metric.step, loss=event.metric.values["loss"])
    remaining = now.remaining_s if now.remaining_s is not None and math.isfinite(now.remaining_s) else None
    rate = now.tokens_per_second if math.isfinite(now.tokens_per_second) else 0.0
    return replace(
        now, loss=now.loss if math.isfinite(now.loss) else 0.0, tokens_per_second=rate, remaining_s=remaining
    )


def _figures(event: worker_pb2.AttemptEvent) -> StepFigures:
    finite: Mapping[str, float] = {name: value for name, value in event.metric.values.items() if math.isfinite(value)}
    return StepFigures(step=event.metric.step, epoch=event.metric.epoch, figures=finite)
