"""What the agent tells the service: numbered, bundled, repeated until it has arrived."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import worker_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.training_service import messages
from services.training_service.agent.link import Link
from services.training_service.agent.pace import Stall

_EVERY_S = 2.0  # for eyes that is often, and every report costs the database five questions
_MOST_AT_ONCE = 1000
_BYTES_AT_ONCE = 512 * 1024
_BUNDLE_BYTES = 64 * 1024
_LINE_CHARS = 4000
_PROGRESS_EVERY_S = 1.0
_PROGRESS_AT_LEAST_EVERY_S = 15.0
_PROGRESS_STEP = 0.002


class Reporter:
    """Collects events and sends them. Progress is thinned, log lines are bundled and limited; nothing else is lost."""

    def __init__(
        self, link: Link, *, lines_per_second: int, obey: Callable[[worker_pb2.AgentCommand.ValueType], None]
    ) -> None:
        self._link = link
        self._obey = obey
        self._waiting: deque[worker_pb2.AttemptEvent] = deque()
        self._sequence = 0
        self._log = LogBundle(lines_per_second)
        self._progress: pb.TrainingProgress | None = None
        self._progress_at = 0.0
        self._sending = asyncio.Lock()
        self._news = asyncio.Event()

    def progress(self, message: pb.TrainingProgress, at: datetime | None = None) -> None:
        """How far the attempt is. Left out where it says nearly the same as the last one."""
        now = time.monotonic()
        if self._is_news(message, now - self._progress_at):
            self._progress, self._progress_at = message, now
            self._add(worker_pb2.AttemptEvent(progress=message), at)

    def metric(self, message: pb.Metric, at: datetime | None = None) -> None:
        """A logged step."""
        self._add(worker_pb2.AttemptEvent(metric=message), at)

    def sample(self, message: pb.Sample, at: datetime | None = None) -> None:
        """A text that the model wrote."""
        self._add(worker_pb2.AttemptEvent(sample=message), at)

    def stall(self, found: Stall) -> None:
        """The trainer stands still."""
        silence, expected = messages.duration(found.silent_s), messages.duration(found.expected_s)
        self._add(worker_pb2.AttemptEvent(stall=pb.Stall(step=found.step, silence=silence, expected=expected)), None)

    def log(self, lines: list[str]) -> None:
        """Lines for people."""
        for bundle in self._log.add(lines):
            self._add(worker_pb2.AttemptEvent(log=bundle), None)
        self._news.set()

    async def run(self) -> None:
        """Sends until cancelled: at once after a silence, else what came meanwhile. Raises Superseded or CutOff."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.flush()
            await asyncio.sleep(_EVERY_S)

    async def flush(self) -> None:
        """Returns when everything has arrived."""
        bundle = self._log.take()
        if bundle is not None:
            self._add(worker_pb2.AttemptEvent(log=bundle), None)
        await self._send()

    def _is_news(self, message: pb.TrainingProgress, since_s: float) -> bool:
        last = self._progress
        if last is None or last.phase != message.phase:
            return True
        moved = abs(message.phase_fraction - last.phase_fraction) >= _PROGRESS_STEP
        return (moved and since_s >= _PROGRESS_EVERY_S) or since_s >= _PROGRESS_AT_LEAST_EVERY_S

    def _add(self, event: worker_pb2.AttemptEvent, at: datetime | None) -> None:
        self._sequence += 1
        event.attempt_sequence = self._sequence
        time_of = Timestamp()
        time_of.FromDatetime(at or datetime.now(UTC))
        event.time.CopyFrom(time_of)
        self._waiting.append(event)
        self._news.set()

    async def _send(self) -> None:
        async with self._sending:
            while self._waiting:
                batch = self._batch()
                request = worker_pb2.ReportEventsRequest(attempt=self._link.attempt, events=batch)
                answer = await self._link.call(lambda stub: stub.ReportEvents, request)
                self._obey(answer.command)
                while self._waiting and self._waiting[0].attempt_sequence < answer.next_attempt_sequence:
                    self._waiting.popleft()

    def _batch(self) -> list[worker_pb2.AttemptEvent]:
        batch: list[worker_pb2.AttemptEvent] = []
        size = 0
        for event in self._waiting:
            size += event.ByteSize()
            if batch and (len(batch) >= _MOST_AT_ONCE or size > _BYTES_AT_ONCE):
                break
            batch.append(event)
        return batch


def shown(line: str) -> str:
    """A line for the log, not too long. Text that cannot be encoded or stored is shown, not lost."""
    short = line if len(line) <= _LINE_CHARS else line[: _LINE_CHARS - 1] + "…"
    return short.encode("utf-8", "replace").decode().replace("\0", "␀")


class LogBundle:
    """Lines on their way: together up to 64 KiB, no more than so many a second, the overflow counted."""

    def __init__(self, lines_per_second: int) -> None:
        self._limit = lines_per_second
        self._lines: list[str] = []
        self._bytes = 0
        self._dropped = 0
        self._second = 0.0
        self._in_second = 0

    def add(self, lines: list[str]) -> list[pb.LogLines]:
        """Takes lines in; returns the bundles that are full now."""
        full = []
        for line in lines:
            if self._over_limit():
                self._dropped += 1
                continue
            self._lines.append(shown(line))
            self._bytes += len(self._lines[-1].encode())
            if self._bytes >= _BUNDLE_BYTES:
                full += [bundle for bundle in [self.take()] if bundle is not None]
        return full

    def take(self) -> pb.LogLines | None:
        """The bundle as it is; None where there is nothing to tell."""
        if not self._lines and not self._dropped:
            return None
        bundle = pb.LogLines(lines=self._lines, dropped_lines=self._dropped)
        self._lines, self._bytes, self._dropped = [], 0, 0
        return bundle

    def _over_limit(self) -> bool:
        now = time.monotonic()
        if now - self._second >= 1.0:
            self._second, self._in_second = now, 0
        self._in_second += 1
        return self._in_second > self._limit
