"""Whether a service can do its work: its dependencies are asked again and again, and the answer is published."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from services.core.errors import DomainError, Unavailable

log = logging.getLogger(__name__)

Check = Callable[[], Awaitable[None]]
"""Returns when the dependency is well, raises a DomainError when it is not."""
_EVERY_S = 2.0
_EVERY_WHILE_STARTING_S = 0.1
_WITHIN_S = 5.0


class Readiness:
    """The checks of one process. Ready when all pass; `opened` is set the first time and stays."""

    def __init__(self, checks: Mapping[str, Check], on_change: Callable[[bool], Awaitable[None]]) -> None:
        self._checks = dict(checks)
        self._on_change = on_change
        self.failing: dict[str, str] = dict.fromkeys(checks, "not checked yet")
        """The dependencies that are away, with what was said."""
        self.opened = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether everything passed at the last look."""
        return not self.failing

    def closed(self) -> DomainError | None:
        """Why calls are not served yet, None once everything has passed for the first time."""
        if self.opened.is_set():
            return None
        return Unavailable(next(iter(self.failing), "service"))

    async def watch(self) -> None:
        """Looks until cancelled."""
        published: bool | None = None
        while True:
            await self.look()
            if self.ready != published:
                log.info("ready" if self.ready else "not ready", extra={"failing": self.failing})
                published = self.ready
                await self._on_change(self.ready)
            await asyncio.sleep(_EVERY_S if self.opened.is_set() else _EVERY_WHILE_STARTING_S)

    async def look(self) -> None:
        """Asks every dependency once, at the same time."""
        answers = await asyncio.gather(*(_ask(check) for check in self._checks.values()))
        self.failing = {name: answer for name, answer in zip(self._checks, answers, strict=True) if answer}
        if not self.failing:
            self.opened.set()


async def _ask(check: Check) -> str:
    """What is wrong, empty when nothing is."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            await check()
    except DomainError as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {_WITHIN_S:.0f} s"
    except Exception as error:
        log.exception("a readiness check failed unexpectedly")
        return type(error).__name__
    return ""
