"""The canonical form of a version: rows.parquet for machines, rows.pages for looking at any page at once."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from services.data_service.domain import INDEX_PATH, INDEX_STRIDE, PAGES_PATH, ROWS_PATH
from services.data_service.page_frames import OFFSET, pack_frame
from services.data_service.validation.blocks import Rows

_GROUP_BYTES = 1 << 20
"""A row group is at least this long: small enough that one read alone is quick, large enough to compress well."""
SCHEMA = pa.schema(
    [
        pa.field("index", pa.int64(), nullable=False),  # position in the version, from 0
        pa.field("line", pa.int64(), nullable=False),  # line in the original, from 1
        pa.field("digest", pa.binary(32), nullable=False),  # SHA-256 of `json`
        pa.field("json", pa.string(), nullable=False),  # the row as compact JSON with sorted keys
    ]
)


class CanonicalWriter:
    """Writes the files into a folder; each in a thread, since compression leaves Python to others."""

    def __init__(self, folder: Path) -> None:
        self._parts = (_Table(folder), _Pages(folder))
        self._threads = ThreadPoolExecutor(len(self._parts))
        self._busy: list[Future[None]] = []
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
            rows = _joined(self._waiting)
            self._busy = [self._threads.submit(part.write, rows) for part in self._parts]
            self._waiting = []

    def _settle(self) -> None:
        for future in self._busy:
            future.result()
        self._busy = []

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
            self._threads.shutdown()
            for part in self._parts:
                part.close()


class _Table:
    """rows.parquet: one row group for each call."""

    def __init__(self, folder: Path) -> None:
        self._file = pq.ParquetWriter(
            folder / ROWS_PATH,
            SCHEMA,
            compression="zstd",
            use_dictionary=False,
            write_statistics=["index", "line"],
            write_page_checksum=True,
        )
        self._rows = 0

    def write(self, rows: Rows) -> None:
        count = len(rows.lines)
        index = np.arange(self._rows, self._rows + count, dtype=np.int64)
        ends = np.concatenate((np.zeros(1, np.int32), rows.ends))
        # Arrow's own buffers: `pyarrow.array` would import pandas. The first would hold the validity bits.
        columns = [(index,), (rows.lines,), (rows.digests,), (ends, rows.data)]
        arrays = [
            pa.Array.from_buffers(field.type, count, [None, *map(pa.py_buffer, buffers)])
            for field, buffers in zip(SCHEMA, columns, strict=True)
        ]
        self._file.write_batch(pa.record_batch(arrays, schema=SCHEMA))
        self._rows += count

    def close(self) -> None:
        self._file.close()


class _Pages:
    """rows.pages and rows.index: one frame for every 64 rows."""

    def __init__(self, folder: Path) -> None:
        self._pages = (folder / PAGES_PATH).open("wb")
        self._index = (folder / INDEX_PATH).open("wb")
        self._compressor = zstandard.ZstdCompressor(level=1)
        self._rest = _NOTHING
        self._offset = 0

    def write(self, rows: Rows) -> None:
        rows = _joined([self._rest, rows]) if len(self._rest.lines) else rows
        whole = len(rows.lines) // INDEX_STRIDE * INDEX_STRIDE
        for first in range(0, whole, INDEX_STRIDE):
            self._frame(_slice(rows, first, first + INDEX_STRIDE))
        self._rest = _slice(rows, whole, len(rows.lines))

    def close(self) -> None:
        try:
            if len(self._rest.lines):
                self._frame(self._rest)
            self._index.write(OFFSET.pack(self._offset))
        finally:
            self._pages.close()
            self._index.close()

    def _frame(self, rows: Rows) -> None:
        frame = pack_frame(rows.lines.tobytes(), rows.ends.tobytes(), rows.data, self._compressor)
        self._index.write(OFFSET.pack(self._offset))
        self._pages.write(frame)
        self._offset += len(frame)


_NOTHING = Rows(np.zeros(0, np.int64), b"", np.zeros(0, np.int32), b"")


def _slice(rows: Rows, first: int, last: int) -> Rows:
    start = int(rows.ends[first - 1]) if first else 0
    end = int(rows.ends[last - 1]) if last else 0
    return Rows(rows.lines[first:last], b"", rows.ends[first:last] - np.int32(start), rows.data[start:end])


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
