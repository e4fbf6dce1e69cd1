"""The canonical form of a version: rows.parquet, and rows.index for looking at any of its pages at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.data_service.domain import INDEX_PATH, INDEX_STRIDE, ROWS_PATH
from services.data_service.parquet_pages import Place, bodies
from services.data_service.validation.blocks import Rows

_GROUP_BYTES = 1 << 20
"""A row group is at least this long, but for the last one."""
_NO_LIMIT = (1 << 31) - 1  # pages end by rows, never by bytes
SCHEMA = pa.schema(
    [
        pa.field("index", pa.int64(), nullable=False),  # position in the version, from 0
        pa.field("line", pa.int64(), nullable=False),  # line in the original, from 1
        pa.field("digest", pa.binary(32), nullable=False),  # SHA-256 of `json`
        pa.field("json", pa.string(), nullable=False),  # the row as compact JSON with sorted keys
    ]
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
    """rows.parquet, and rows.index when it is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = pq.ParquetWriter(
            folder / ROWS_PATH,
            SCHEMA,
            compression={name: "none" if name == "digest" else "zstd" for name in SCHEMA.names},
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
            max_rows_per_page=INDEX_STRIDE,
            data_page_size=_NO_LIMIT,
        )
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
        """The rest of the rows, and the index."""
        try:
            if len(self._rest.lines):
                self._group(self._rest)
        finally:
            self._file.close()
        self._write_index()

    def _group(self, rows: Rows) -> None:
        count = len(rows.lines)
        index = np.arange(self._rows, self._rows + count, dtype=np.int64)
        ends = np.concatenate((np.zeros(1, np.int32), rows.ends))
        # Arrow's own buffers: `pyarrow.array` would import pandas. The first would hold the validity bits.
        columns = [(index,), (rows.lines,), (rows.digests,), (ends, rows.data)]
        arrays = [
            pa.Array.from_buffers(field.type, count, [None, *map(pa.py_buffer, buffers)])
            for field, buffers in zip(SCHEMA, columns, strict=True)
        ]
        self._file.write_batch(pa.record_batch(arrays, schema=SCHEMA), row_group_size=count)
        self._rows += count

    def _write_index(self) -> None:
        path = self._folder / ROWS_PATH
        groups = pq.read_metadata(path)
        with path.open("rb") as file, (self._folder / INDEX_PATH).open("wb") as index:
            for number in range(groups.num_row_groups):
                group = groups.row_group(number)
                json, line = (_bodies(file, group.column(SCHEMA.get_field_index(name))) for name in ("json", "line"))
                index.writelines(Place(*a, *b).pack() for a, b in zip(json, line, strict=True))


def _bodies(file: IO[bytes], chunk: pq.ColumnChunkMetaData) -> Iterator[tuple[int, int]]:
    return bodies(file.fileno(), chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size)


_NOTHING = Rows(np.zeros(0, np.int64), b"", np.zeros(0, np.int32), b"")


def _slice(rows: Rows, first: int, last: int) -> Rows:
    start = int(rows.ends[first - 1]) if first else 0
    end = int(rows.ends[last - 1]) if last else 0
    digests = rows.digests[32 * first : 32 * last]
    return Rows(rows.lines[first:last], digests, rows.ends[first:last] - np.int32(start), rows.data[start:end])


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
