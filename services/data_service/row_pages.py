"""Rows of a version for people: any page at once, from the pages of rows.parquet, whatever the original's format."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass

from services.core.errors import ContentMissing
from services.core.objects import ObjectStore
from services.data_service.domain import INDEX_PATH, ROWS_PATH, RowForm, Template, TrainOn, Version, VersionFile
from services.data_service.parquet_pages import Place, Stretch, chapters_of, contents_of, places_of, unpack_page
from services.text.markers import Markers
from services.text.rows import Form, Preference, parse

MAX_PAGE_BYTES = 3 << 20
"""A page ends early rather than being longer than a message may be."""


@dataclass(frozen=True, kw_only=True)
class RowView:
    """One row: position from 0, line from 1, compact JSON, and what the model is shown and learns."""

    index: int
    line: int
    json: str
    prompt: str
    completion: str
    # The rejected answer of a preference row.
    rejected: str = ""


class RowPages:
    """Reads pages in a few ranged reads, without pyarrow."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def page(self, version: Version, offset: int, limit: int) -> list[RowView]:
        """Rows from `offset` on: `limit` of them, fewer at the end or when they are large, but at least one."""
        limit = min(limit, version.statistics.rows - offset)
        if limit <= 0:
            return []
        index, rows = _file(version, INDEX_PATH), _file(version, ROWS_PATH)
        last = offset + limit - 1
        contents = await self._read(index, contents_of(index.size_bytes))
        places = places_of(await self._read(index, chapters_of(index.size_bytes, contents, offset, last)), offset, last)
        pages = await asyncio.gather(*(self._page(rows, place) for place in places))
        return await asyncio.to_thread(_views, version.template, pages, offset, offset - places[0].first_row, limit)

    async def _page(self, rows: VersionFile, place: Place) -> tuple[bytes, bytes]:
        json = self._read(rows, Stretch(place.json_offset, place.json_bytes))
        return await json, await self._read(rows, Stretch(place.line_offset, place.line_bytes))

    async def _read(self, file: VersionFile, stretch: Stretch) -> bytes:
        return b"".join([piece async for piece in self._objects.open(file.key, *stretch)])


def _file(version: Version, path: str) -> VersionFile:
    file = version.file(path)
    if file is None:
        raise ContentMissing(f"{version.name}: {path}")
    return file


def _views(template: Template, pages: list[tuple[bytes, bytes]], offset: int, skip: int, limit: int) -> list[RowView]:
    form = Form[template.form.name]
    whole = template.form is RowForm.TEXT and template.train_on is TrainOn.ALL
    marked = bool(template.prompt_marker) and not whole
    markers = Markers(template.prompt_marker, template.completion_marker) if marked else None
    views: list[RowView] = []
    size = 0
    for line, data in _rows(pages, skip):
        size += 2 * len(data)  # once as JSON, once as prompt and completion
        if len(views) == limit or (views and size > MAX_PAGE_BYTES):
            break
        views.append(_view(offset + len(views), line, data, form, markers))
    return views


def _rows(pages: list[tuple[bytes, bytes]], skip: int) -> Iterator[tuple[int, bytes]]:
    for number, (json_body, line_body) in enumerate(pages):
        yield from unpack_page(json_body, line_body, skip if number == 0 else 0)


def _view(index: int, line: int, data: bytes, form: Form, markers: Markers | None) -> RowView:
    example = parse(json.loads(data), form, markers, tools=True)
    return RowView(
        index=index,
        line=line,
        json=data.decode(),
        prompt=example.prompt,
        completion=example.completion,
        rejected=example.rejected if isinstance(example, Preference) else "",
    )
