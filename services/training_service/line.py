"""A connection to WorkerService that is made anew when nobody answers on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import grpc
from aift.training.v1 import worker_pb2_grpc

# Longer than any call that may still be on its way over a connection that was given up.
_LAST_CALLS_S = 60.0


class Line:
    """The current connection's stub. A connection whose other end is gone without a word looks alive to gRPC for a
    minute; a call that was not answered in time is reason enough for another one."""

    def __init__(self, dial: Callable[[], grpc.aio.Channel]) -> None:
        self._dial = dial
        self._closing: set[asyncio.Task[None]] = set()
        self._open()

    def _open(self) -> None:
        self._channel = self._dial()
        self.stub = cast("worker_pb2_grpc.WorkerServiceAsyncStub", worker_pb2_grpc.WorkerServiceStub(self._channel))

    def gave_no_answer(self, stub: worker_pb2_grpc.WorkerServiceAsyncStub) -> None:
        """A call by this stub ran into its deadline."""
        if stub is not self.stub:
            return  # another call has found out before
        closing = asyncio.create_task(self._channel.close(_LAST_CALLS_S))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._open()

    async def close(self) -> None:
        """Ends all connections and what is still asked on them."""
        for closing in self._closing:
            closing.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._channel.close()
