"""Work that goes on beside the calls: a loop that waits for what is away and never dies of a surprise."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.core.errors import DomainError
from services.training_service.changes import Changes

log = logging.getLogger(__name__)


async def repeat(
    what: str,
    work: Callable[[], Awaitable[bool]],
    *,
    every_s: float,
    changes: Changes | None = None,
    channel: str = "",
) -> None:
    """Does `work` until cancelled: again at once while it returns True, else after `every_s` or a notification."""
    changes = changes or Changes("")
    with changes.subscribe(channel) as news:
        while True:
            if not await _once(what, work):
                await news.wait(every_s)


async def _once(what: str, work: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await work()
    except DomainError as error:
        log.warning("%s: %s", what, error)
    except Exception:
        log.exception("%s failed; it goes on", what)
        await asyncio.sleep(1.0)
    return False
