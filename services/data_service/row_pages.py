"""Rows of a version for people: any page at once, from the original bytes and the row index."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from services.core.errors import ContentMissing
from services.core.objects import ObjectStore
from services.data_service.domain import INDEX_PATH, INDEX_STRIDE, RowForm, Template, TrainOn, Version
from services.text.markers import Markers
from services.text.rows import Form, parse

MAX_PAGE_BYTES = 3 << 20
"""A page ends early rather than being longer than a message may be."""
_PLACE = struct.Struct("<QQ")


@dataclass(frozen=True, kw_only=True)
class RowView:
    """One row: position from 0, line from 1, compact JSON, and what the model is shown and learns."""

    index: int
    line: int
    json: str
    prompt: str
    completion: str


class RowPages:
    """Reads pages without pyarrow: the index tells where every 64th row begins in the original."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def page(self, version: Version, offset: int, limit: int) -> list[RowView]:
        """Rows from `offset` on: `limit` of them, fewer at the end or when they are large, but at least one."""
        if offset >= version.statistics.rows:
            return []
        first = offset // INDEX_STRIDE * INDEX_STRIDE
        lines: list[tuple[int, int, bytes]] = []
        size = 0
        async with aclosing(self._lines(version, first)) as found:
            async for index, line, data in found:
                if index < offset:
                    continue
                size += 2 * len(data)  # once as JSON, once as prompt and completion
                if len(lines) == limit or (lines and size > MAX_PAGE_BYTES):
                    break
                lines.append((index, line, data))
        return await asyncio.to_thread(_views, version.template, lines)

    async def _lines(self, version: Version, first: int) -> AsyncGenerator[tuple[int, int, bytes], None]:
        """Index, line number and content of the rows from an indexed one on."""
        place = await self._read(version, INDEX_PATH, first // INDEX_STRIDE * _PLACE.size, _PLACE.size)
        start, line = _PLACE.unpack(place)
        index = first - 1
        async with aclosing(self._pieces(version, "", start)) as pieces:
            async for data in _split(pieces):
                if data.strip():
                    index += 1
                    yield index, line, data
                line += 1

    async def _read(self, version: Version, path: str, offset: int, length: int) -> bytes:
        return b"".join([piece async for piece in self._pieces(version, path, offset, length)])

    async def _pieces(
        self, version: Version, path: str, offset: int, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        file = version.file(path)
        if file is None:
            raise ContentMissing(f"{version.name}: {path}")
        async for piece in self._objects.open(file.key, offset, length):
            yield piece


async def _split(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest


def _views(template: Template, lines: list[tuple[int, int, bytes]]) -> list[RowView]:
    form = Form[template.form.name]
    whole = template.form is RowForm.TEXT and template.train_on is TrainOn.ALL
    marked = bool(template.prompt_marker) and not whole
    markers = Markers(template.prompt_marker, template.completion_marker) if marked else None
    return [_view(index, line, data, form, markers) for index, line, data in lines]


def _view(index: int, line: int, data: bytes, form: Form, markers: Markers | None) -> RowView:
    row = json.loads(data)
    example = parse(row, form, markers)
    return RowView(
        index=index,
        line=line,
        json=json.dumps(row, ensure_ascii=False, separators=(",", ":")),
        prompt=example.prompt,
        completion=example.completion,
    )
