"""The canonical form of a version: rows.parquet, and rows.index for looking at any of its pages at once."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from services.data_service.domain import INDEX_PATH, INDEX_STRIDE, ROWS_PATH
from services.data_service.parquet_pages import Place
from services.data_service.validation.blocks import Rows
from services.data_service.validation.parquet_file import Column, Kind, ParquetFile

_GROUP_BYTES = 1 << 20
"""A row group is at least this long, but for the last one."""
_COLUMNS = (
    Column("index", Kind.INT64),
    Column("line", Kind.INT64),
    Column("digest", Kind.FIXED_LEN_BYTE_ARRAY, width=32, compressed=False),
    Column("json", Kind.BYTE_ARRAY, text=True),
)


class CanonicalWriter:
    """Writes the files into a folder, in a thread: compression leaves Python to others."""

    def __init__(self, folder: Path) -> None:
        self._table = _Table(folder)
        self._thread = ThreadPoolExecutor(1)
        self._busy: Future[None] | None = None
        self._waiting: list[Rows] = []

    def write(self, rows: Rows) -> None:
        """Appends rows. Many at a time are written while the next are brought; few wait for more."""
        if len(rows.lines):
            self._waiting.append(rows)
        if sum(len(waiting.data) for waiting in self._waiting) >= _GROUP_BYTES:
            self._begin()

    def _begin(self) -> None:
        self._settle()
        if self._waiting:
            self._busy = self._thread.submit(self._table.write, _joined(self._waiting))
            self._waiting = []

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
        finally:
            self._thread.shutdown()
            self._table.close()


class _Table:
    """rows.parquet, and rows.index beside it."""

    def __init__(self, folder: Path) -> None:
        self._file = ParquetFile(folder / ROWS_PATH, _COLUMNS)
        self._index = (folder / INDEX_PATH).open("wb")
        self._rows = 0
        self._rest = _NOTHING

    def write(self, rows: Rows) -> None:
        """A row group of whole pages; the rest waits for more."""
        rows = _joined([self._rest, rows]) if len(self._rest.lines) else rows
        whole = len(rows.lines) // INDEX_STRIDE * INDEX_STRIDE
        self._rest = _slice(rows, whole, len(rows.lines))
        if whole:
            self._group(_slice(rows, 0, whole))

    def close(self) -> None:
        """The rest of the rows, and what tells of them all."""
        with self._index:
            try:
                if len(self._rest.lines):
                    self._group(self._rest)
            finally:
                self._file.close()

    def _group(self, rows: Rows) -> None:
        count = len(rows.lines)
        index = np.arange(self._rows, self._rows + count, dtype="<i8")
        ends = [*range(INDEX_STRIDE, count, INDEX_STRIDE), count]
        places = rows.ends[np.array(ends) - 1].tolist()
        pages = np.diff(ends, prepend=0).tolist()
        whole = [count]  # nobody looks for a page of these
        _, line, _, json = self._file.write(
            [
                ([index.tobytes()], whole),
                (_pages(rows.lines.astype("<i8").tobytes(), [8 * end for end in ends]), pages),
                ([rows.digests], whole),
                (_pages(rows.data, places), pages),
            ]
        )
        self._index.writelines(Place(*a, *b).pack() for a, b in zip(json, line, strict=True))
        self._rows += count


def _pages(data: bytes | memoryview, ends: list[int]) -> list[memoryview]:
    view = memoryview(data)
    return [view[start:end] for start, end in zip([0, *ends], ends, strict=False)]


_NOTHING = Rows(np.zeros(0, np.int64), b"", np.zeros(0, np.int32), b"")


def _slice(rows: Rows, first: int, last: int) -> Rows:
    start = int(rows.ends[first - 1]) if first else 0
    end = int(rows.ends[last - 1]) if last else 0
    digests = rows.digests[32 * first : 32 * last]
    data = memoryview(rows.data)[start:end]
    return Rows(rows.lines[first:last], digests, rows.ends[first:last] - np.int32(start), data)


def _joined(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0] + [len(part.data) for part in parts[:-1]], dtype=np.int32)
    return Rows(
        np.concatenate([part.lines for part in parts]),
        b"".join(part.digests for part in parts),
        np.concatenate([part.ends + start for part, start in zip(parts, starts, strict=True)]),
        b"".join(part.data for part in parts),
    )
