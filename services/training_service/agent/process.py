"""python -m services.training_service agent: started by a worker, which writes what to do to standard input."""

import asyncio
import sys

from services.core.process import run
from services.core.settings import load
from services.core.telemetry import configure_logging
from services.training_service.agent.attempt import Attempt
from services.training_service.agent.handover import read
from services.training_service.agent.member import Member
from services.training_service.settings import NodeSettings


def main() -> int:
    """Runs one attempt. 0 when the service knows how it ended."""
    settings = load(NodeSettings)
    configure_logging("agent", settings.log_level)
    handover = read(sys.stdin.buffer)
    status = 1

    async def attempt(stop: asyncio.Event) -> None:
        nonlocal status
        agent = Member(handover, settings) if settings.node_rank else Attempt(handover, settings)
        status = await agent.run(stop)

    return run(attempt) or status
