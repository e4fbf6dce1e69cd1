"""The canonical form of a version: rows.parquet, and rows.index for looking at any of its pages at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from services.data_service.domain import INDEX_PATH, ROWS_PATH
from services.data_service.parquet_pages import IndexWriter, Place
from services.data_service.validation.blocks import Fingerprints, Numbers, Rows
from services.data_service.validation.parquet_file import Column, Kind, Page, PageWriter, ParquetFile

PAGE_ROWS = 1024
_PAGE_BYTES = 512 << 10
"""A page has no more than so many rows and, if it has more than one, bytes: less is read of it than is needed."""
_PACKED_BYTES = 1 << 20
"""Rows that come in smaller numbers are packed together."""
_GROUP_BYTES = 4 << 20
"""Packed rows are put together to row groups of at least this length."""
_INDEX = Column("index", Kind.INT64)
_LINE = Column("line", Kind.INT64)
_JSON = Column("json", Kind.BYTE_ARRAY, text=True)


class PackedRows(NamedTuple):
    """Rows that follow each other in a version, ready to be written."""

    lines: Numbers
    fingerprints: Fingerprints
    line_pages: list[Page]
    json_pages: list[Page]


class Packer:
    """Makes pages of rows, which is most of the work; several processes can share it."""

    def __init__(self) -> None:
        self._pages = PageWriter()

    def pack(self, rows: Rows) -> PackedRows:
        """Pages of some rows."""
        lines, data = memoryview(rows.lines.astype("<i8").tobytes()), memoryview(rows.data)
        line_pages, json_pages = [], []
        row, at = 0, 0
        for last in _page_ends(rows.ends.tolist()):
            end = int(rows.ends[last - 1])
            line_pages.append(self._pages.page(_LINE, lines[8 * row : 8 * last], last - row))
            json_pages.append(self._pages.page(_JSON, data[at:end], last - row))
            row, at = last, end
        return PackedRows(rows.lines, rows.fingerprints, line_pages, json_pages)


class CanonicalWriter:
    """Writes the files into a folder, in a thread: compression leaves Python to others."""

    def __init__(self, folder: Path) -> None:
        self._table = _Table(folder)
        self._packer = Packer()
        self._thread = ThreadPoolExecutor(1)
        self._busy: Future[None] | None = None
        self._waiting: list[Rows] = []
        self._waiting_bytes = 0

    def write(self, rows: Rows | PackedRows) -> None:
        """Appends rows. Many at a time are written while the next are brought; few wait for more."""
        if not len(rows.lines):
            return
        if isinstance(rows, PackedRows):
            self._begin()
            self._settle()
            self._table.write(rows)
            return
        self._waiting.append(rows)
        self._waiting_bytes += len(rows.data)
        if self._waiting_bytes >= _PACKED_BYTES:
            self._begin()

    def _begin(self) -> None:
        self._settle()
        if self._waiting:
            self._busy = self._thread.submit(self._pack, self._waiting)
            self._waiting, self._waiting_bytes = [], 0

    def _pack(self, rows: list[Rows]) -> None:
        self._table.write(self._packer.pack(_joined(rows)))

    def _settle(self) -> None:
        if self._busy is not None:
            self._busy.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._begin()
                self._settle()
                self._table.end()
        finally:
            self._thread.shutdown()
            self._table.close()


class _Table:
    """rows.parquet, and rows.index beside it."""

    def __init__(self, folder: Path) -> None:
        self._file = ParquetFile(folder / ROWS_PATH, (_INDEX, _LINE, _JSON))
        self._index = IndexWriter(folder / INDEX_PATH)
        self._pages = PageWriter()
        self._rows = 0
        self._line_pages: list[Page] = []
        self._json_pages: list[Page] = []
        self._waiting_bytes = 0

    def write(self, rows: PackedRows) -> None:
        """Appends rows."""
        self._line_pages += rows.line_pages
        self._json_pages += rows.json_pages
        self._waiting_bytes += sum(page.plain_bytes for page in rows.json_pages)
        if self._waiting_bytes >= _GROUP_BYTES:
            self._end_group()

    def end(self) -> None:
        """Nothing follows; `close` writes what tells of all rows."""
        if self._json_pages:
            self._end_group()

    def close(self) -> None:
        """What tells of all rows."""
        try:
            self._index.close()
        finally:
            self._file.close()

    def _end_group(self) -> None:
        count = sum(page.rows for page in self._json_pages)
        index = np.arange(self._rows, self._rows + count, dtype="<i8").tobytes()
        _, line, json = self._file.write([[self._pages.page(_INDEX, index, count)], self._line_pages, self._json_pages])
        for page, json_place, line_place in zip(self._json_pages, json, line, strict=True):
            self._index.append(Place(self._rows, *json_place, *line_place))
            self._rows += page.rows
        self._line_pages, self._json_pages, self._waiting_bytes = [], [], 0


def _page_ends(ends: list[int]) -> Iterator[int]:
    """Behind which rows pages end, by where each row ends."""
    row = 0
    while row < len(ends):
        fit = bisect_right(ends, (ends[row - 1] if row else 0) + _PAGE_BYTES)
        row = max(row + 1, min(row + PAGE_ROWS, fit))
        yield row


def _joined(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0] + [len(part.data) for part in parts[:-1]], dtype=np.int32)
    return Rows(
        np.concatenate([part.lines for part in parts]),
        np.concatenate([part.fingerprints for part in parts]),
        np.concatenate([part.ends + start for part, start in zip(parts, starts, strict=True)]),
        b"".join(part.data for part in parts),
    )
