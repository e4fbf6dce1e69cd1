"""The canonical form of a version: rows.parquet for machines, rows.index for looking at any page at once."""

from __future__ import annotations

import struct
from array import array
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from services.data_service.domain import INDEX_PATH, INDEX_STRIDE, ROWS_PATH

SCHEMA = pa.schema(
    [
        pa.field("index", pa.int64(), nullable=False),  # position in the version, from 0
        pa.field("line", pa.int64(), nullable=False),  # line in the original, from 1
        pa.field("digest", pa.binary(32), nullable=False),  # SHA-256 of the row with sorted keys
        pa.field("json", pa.string(), nullable=False),  # the row as compact JSON
    ]
)
# Small enough that one row group read alone is quick, large enough to compress well.
_GROUP_ROWS = 4096
_GROUP_BYTES = 8 << 20
Buffer: TypeAlias = "array[int] | bytearray | bytes"
_PLACE = struct.Struct("<QQ")


class CanonicalWriter:
    """Writes both files into a folder, a row group at a time."""

    def __init__(self, folder: Path) -> None:
        self._parquet = pq.ParquetWriter(
            folder / ROWS_PATH,
            SCHEMA,
            compression="zstd",
            use_dictionary=False,
            write_page_checksum=True,
        )
        self._index = (folder / INDEX_PATH).open("wb")
        self._rows = 0
        self._group = _Group(first=0)

    def add(self, *, line: int, offset: int, digest: bytes, json: str) -> None:
        """Appends a row: its line, the byte offset of that line in the original, its digest and compact JSON."""
        if self._rows % INDEX_STRIDE == 0:
            self._index.write(_PLACE.pack(offset, line))
        self._group.add(line, digest, json.encode())
        self._rows += 1
        if self._group.rows >= _GROUP_ROWS or self._group.size_bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._group.rows:
            self._parquet.write_batch(self._group.batch())
        self._group = _Group(first=self._rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._parquet.close()
        self._index.close()


class _Group:
    """Rows of one row group, kept as Arrow's own buffers: `pyarrow.array` would import pandas."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._lines = array("q")
        self._digests = bytearray()
        self._json: list[bytes] = []
        self._ends = array("i", (0,))

    @property
    def rows(self) -> int:
        return len(self._lines)

    @property
    def size_bytes(self) -> int:
        return self._ends[-1]

    def add(self, line: int, digest: bytes, json: bytes) -> None:
        self._lines.append(line)
        self._digests += digest
        self._json.append(json)
        self._ends.append(self._ends[-1] + len(json))

    def batch(self) -> pa.RecordBatch:
        index = array("q", range(self._first, self._first + self.rows))
        columns = (
            (index,),
            (self._lines,),
            (self._digests,),
            (self._ends, b"".join(self._json)),
        )
        return pa.record_batch([self._column(*pair) for pair in zip(SCHEMA, columns, strict=True)], schema=SCHEMA)

    def _column(self, field: pa.Field, buffers: tuple[Buffer, ...]) -> pa.Array:
        # The first buffer would hold the validity bits; no value is null.
        return pa.Array.from_buffers(field.type, self.rows, [None, *(pa.py_buffer(buffer) for buffer in buffers)])
