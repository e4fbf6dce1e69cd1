"""The warm process that renders rows: started by the first preview, ended after a while without one."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from services.core import lifeline
from services.core.errors import Unavailable
from services.data_service.supervision.protocol import Answer, Request
from services.data_service.workspace import environment

log = logging.getLogger(__name__)

_MODULE = "services.data_service.supervision"
_LONGEST_LINE_BYTES = 1 << 28
_ANSWER_WITHIN_S = 50.0
_END_WITHIN_S = 2.0
_ATTEMPTS = 2


class Renderer:
    """One child process for all calls, one request at a time. `run` ends it when it is idle, and when cancelled."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._used = asyncio.Event()

    async def render(self, tokenizer: Path, template: str, rows: Sequence[str], max_length: int) -> Answer:
        """The rows as a model sees them.

        Args:
            tokenizer: folder of the tokenizer.
            template: of the version, as services/text writes it.
            rows: compact JSON.
            max_length: longest sequence in tokens.

        Raises:
            Unavailable: the process ended twice, or took too long.
        """
        async with self._turn:
            self._used.set()
            request = Request(tokenizer=str(tokenizer), template=template, rows=tuple(rows), max_length=max_length)
            for _ in range(_ATTEMPTS):
                answer = await self._ask(request)
                if answer is not None:
                    return answer
        raise Unavailable("rendering process")

    async def run(self) -> None:
        """Ends the process whenever it was not used for a while."""
        try:
            while True:
                await self._used.wait()
                self._used.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._idle_seconds):
                        await self._used.wait()
                        continue
                async with self._turn:
                    await self._end()
        finally:
            await self._end()

    async def _ask(self, request: Request) -> Answer | None:
        """The answer, None when the process ended. Whatever else happens, an unfinished answer does not stay."""
        process = await self._started()
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                answer = await _exchange(process, request)
        except TimeoutError:
            await self._end()
            raise Unavailable("rendering process") from None
        except BaseException:
            await self._end()
            raise
        if answer is None:
            log.warning("the rendering process ended with status %s", await process.wait())
            await self._end()
        return answer

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await lifeline.spawn(
                [sys.executable, "-m", _MODULE],
                env=environment(TOKENIZERS_PARALLELISM="false"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE_BYTES,
            )
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await lifeline.end(process, grace_s=_END_WITHIN_S)


async def _exchange(process: asyncio.subprocess.Process, request: Request) -> Answer | None:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("the child was started with pipes")
    with suppress(ConnectionError):  # a process that is gone is noticed by the answer that does not come
        process.stdin.write(request.line())
        await process.stdin.drain()
    line = await process.stdout.readline()
    return Answer.of(line) if line else None
