"""What the agent is told to do from outside: by the service with a heartbeat's answer, or by SIGTERM."""

from __future__ import annotations

import asyncio
from enum import Enum

from aift.training.v1 import worker_pb2

from services.training_service.domain import Outcome


class Order(Enum):
    """Stop in one of four ways. Ordered: a later, stronger one replaces a weaker one."""

    RELEASE = 1
    PAUSE = 2
    CANCEL = 3
    END = 4

    @property
    def outcome(self) -> Outcome:
        """How the attempt ends when the order is carried out."""
        return _OUTCOMES[self]


_OUTCOMES = {
    Order.RELEASE: Outcome.RELEASED,
    Order.PAUSE: Outcome.PAUSED,
    Order.CANCEL: Outcome.CANCELLED,
    Order.END: Outcome.INFRASTRUCTURE_FAILURE,
}
_COMMANDS = {
    worker_pb2.AGENT_COMMAND_PAUSE: Order.PAUSE,
    worker_pb2.AGENT_COMMAND_CANCEL: Order.CANCEL,
    worker_pb2.AGENT_COMMAND_END: Order.END,
}


class Orders:
    """The order that holds, and the wait for a new one."""

    def __init__(self) -> None:
        self.given: Order | None = None
        self.broken_off = asyncio.Event()
        """Set by an order to end: another node has failed."""
        self._news = asyncio.Event()

    def give(self, order: Order) -> None:
        """Takes an order; the same or a weaker one changes nothing."""
        if self.given is None or order.value > self.given.value:
            self.given = order
            self._news.set()
        if order is Order.END:
            self.broken_off.set()

    def take(self, command: worker_pb2.AgentCommand.ValueType) -> None:
        """Takes what the service says; nothing where it says nothing."""
        order = _COMMANDS.get(command)
        if order is not None:
            self.give(order)

    async def release_at(self, stop: asyncio.Event) -> None:
        """Takes SIGTERM for the order to save and give the job back."""
        await stop.wait()
        self.give(Order.RELEASE)

    async def next(self) -> Order:
        """Waits for an order that was not there at the last call."""
        await self._news.wait()
        self._news.clear()
        assert self.given is not None  # noqa: S101 - `give` sets both
        return self.given
