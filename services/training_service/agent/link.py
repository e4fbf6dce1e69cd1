"""Calls to the training service in the attempt's name: repeated through an outage until the grace time is over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
from aift.training.v1 import worker_pb2, worker_pb2_grpc

from services.core.channels import channel
from services.core.relay import reason_of
from services.training_service.line import Line

log = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")
_LONGEST_PAUSE_S = 5.0
_CALL_WITHIN_S = 20.0
_BEAT_WITHIN_S = 2.0
# The service, its database or its disk is away for now. INTERNAL may be a fault that a new version mends.
_TRY_AGAIN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
    }
)


class Superseded(Exception):
    """Another attempt has the job, or nobody has it any more: nothing that this one writes counts."""


class CutOff(Exception):
    """The service was not to be reached for longer than the grace time."""


class Link:
    """The agent's connection to WorkerService."""

    def __init__(self, address: str, assignment: worker_pb2.Assignment) -> None:
        self.attempt = assignment.attempt
        self._token = assignment.token
        self._grace_s = assignment.grace.ToTimedelta().total_seconds()
        self._line = Line(lambda: channel(address, token=lambda: self._token))
        # So that a lease outlives a heartbeat that nobody answers.
        self._beat_within_s = max(assignment.lease.ToTimedelta().total_seconds() / 3, _BEAT_WITHIN_S)
        self._heard = time.monotonic()

    async def close(self) -> None:
        """Ends the connection."""
        await self._line.close()

    async def heartbeat(self, *, member: bool = False) -> worker_pb2.AgentCommand.ValueType:
        """Extends the lease, but for a member, and returns what to do. A fresh token is taken over."""
        request = worker_pb2.HeartbeatRequest(attempt=self.attempt, member=member)
        beat = await self.call(lambda stub: stub.Heartbeat, request, within_s=self._beat_within_s)
        if beat.token:
            self._token = beat.token
        return beat.command

    async def call(
        self,
        method: Callable[[worker_pb2_grpc.WorkerServiceAsyncStub], Callable[..., Awaitable[Response]]],
        request: Request,
        *,
        within_s: float = _CALL_WITHIN_S,
        refusals: frozenset[grpc.StatusCode] = frozenset(),
    ) -> Response:
        """One call, repeated while the service is away. Raises Superseded, CutOff, or AioRpcError for a refusal, which
        `refusals` are too."""
        tries = 0
        while True:
            stub = self._line.stub
            try:
                answer = await method(stub)(request, timeout=within_s)
            except grpc.aio.AioRpcError as error:
                self._judge(error, refusals)
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    self._line.gave_no_answer(stub)
                tries += 1
                await asyncio.sleep(min(0.1 * 2**tries, _LONGEST_PAUSE_S))
            else:
                self._heard = time.monotonic()
                return answer

    def _judge(self, error: grpc.aio.AioRpcError, refusals: frozenset[grpc.StatusCode]) -> None:
        """Returns where it is worth another try."""
        if error.code() is grpc.StatusCode.ABORTED and reason_of(error) == "STALE_FENCE":
            raise Superseded(self.attempt) from error
        if error.code() is grpc.StatusCode.NOT_FOUND:
            raise Superseded(f"{self.attempt} is gone") from error
        if error.code() not in _TRY_AGAIN - refusals:
            raise error
        silent_s = time.monotonic() - self._heard
        if silent_s > self._grace_s:
            raise CutOff(f"no answer for {silent_s:.0f} s") from error
        log.warning("the training service does not answer: %s", error.code().name, extra={"attempt": self.attempt})
