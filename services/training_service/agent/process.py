"""python -m services.training_service agent: started by a worker, which writes what to do to standard input."""

import asyncio
import sys

from services.core.process import run
from services.core.settings import load
from services.core.telemetry import configure_logging
from services.training_service.agent.attempt import Attempt
from services.training_service.agent.handover import read
from services.training_service.settings import AgentSettings


def main() -> int:
    """Runs one attempt. 0 when the service knows how it ended."""
    settings = load(AgentSettings)
    configure_logging("agent", settings.log_level)
    handover = read(sys.stdin.buffer)
    status = 1

    async def attempt(stop: asyncio.Event) -> None:
        nonlocal status
        status = await Attempt(handover, settings).run(stop)

    return run(attempt) or status
