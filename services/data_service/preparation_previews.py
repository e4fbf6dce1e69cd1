"""What a preparation would do to the first rows of a version."""

from __future__ import annotations

import asyncio
import os
import sys

from services.core import lifeline
from services.core.errors import DeadlineExceeded
from services.data_service.domain import Version
from services.data_service.errors import PREPARATION_FAILURES
from services.data_service.preparation.preview import Preview, PreviewRequest, Seen
from services.data_service.recipe import Recipe
from services.data_service.row_pages import RowPages, RowView
from services.data_service.workspace import CHILD_ENV, ChildCrashed

_MODULE = "services.data_service.preparation.preview"
_AT_ONCE = 2
_SECONDS = 40.0
_BYTES = 2 << 20
"""Of JSON that is looked at, at most; one page more."""


class PreparationPreviews:
    """Looks at first rows, in a few processes at a time."""

    def __init__(self, pages: RowPages) -> None:
        self._pages = pages
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def preview(self, version: Version, recipe: Recipe, offset: int, limit: int) -> tuple[list[RowView], Preview]:
        """The rows from `offset` on, and what would become of as many of them as an answer has room for.

        Raises:
            ConversionImpossible: the recipe does not fit the rows.
            DeadlineExceeded: it took too long.
        """
        rows = await self._rows(version, offset, limit)
        seen = [Seen(index=row.index, line=row.line, json=row.json) for row in rows]
        request = PreviewRequest(template=version.template, recipe=recipe, rows=seen)
        try:
            async with asyncio.timeout(_SECONDS), self._free:
                found = Preview.from_json(await _ask(request.to_json().encode()))
        except TimeoutError:
            raise DeadlineExceeded(_SECONDS) from None
        if found.failure:
            raise PREPARATION_FAILURES[found.failure](**found.params)
        return rows, found

    async def _rows(self, version: Version, offset: int, limit: int) -> list[RowView]:
        rows: list[RowView] = []
        size = 0
        while len(rows) < limit and size < _BYTES:
            page = await self._pages.page(version, offset + len(rows), limit - len(rows))
            if not page:
                break
            rows += page
            size += sum(len(row.json) for row in page)
        return rows


async def _ask(request: bytes) -> bytes:
    pipe = asyncio.subprocess.PIPE
    argv = [sys.executable, "-m", _MODULE]
    environment = {name: os.environ[name] for name in CHILD_ENV if name in os.environ}
    process = await lifeline.spawn(argv, env={**environment, "PYTHONUTF8": "1"}, stdin=pipe, stdout=pipe)
    try:
        answer, _ = await process.communicate(request)
    finally:
        await lifeline.end(process, grace_s=0)
    if process.returncode != 0:
        raise ChildCrashed(f"{_MODULE} ended with status {process.returncode}")
    return answer
