"""Rows of Parquet files, a batch at a time; structs and lists become JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from services.data_service.validation import reasons
from services.data_service.validation.blocks import Packet
from services.data_service.validation.canonical_schema import SCHEMA
from services.data_service.validation.excerpt import excerpt
from services.data_service.validation.findings import whole_line
from services.data_service.validation.sources.packing import Packing

_BATCH_ROWS = 256
_BUFFER_BYTES = 1 << 20


class Parquet:
    """A Parquet file. With `columns` only those are read that are named there."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self._path = path
        self._columns = columns
        self._ours = False
        self._rows = Packing()

    def blocks(self) -> Iterator[Packet]:
        """The rows in packets; their line is the row in the file, from 1."""
        size = self._path.stat().st_size
        try:
            with pq.ParquetFile(self._path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
                names = self._readable(file.schema_arrow)
                total, row = max(file.metadata.num_rows, 1), 0
                for batch in self._batches(file, names):
                    for text in self._texts(batch):
                        row += 1
                        self._rows.add(text, row, 0)
                    if self._rows.full:
                        yield self._rows.take(size * row // total)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            at = whole_line(0, 0)
            self._rows.refuse(reasons.PARQUET_BROKEN, at, "", counted=False, detail=excerpt(str(error)))
        yield self._rows.take(size)

    def _batches(self, file: pq.ParquetFile, names: list[str] | None) -> Iterator[pa.RecordBatch]:
        if names is None:
            return iter(())
        batches: Iterator[pa.RecordBatch] = file.iter_batches(_BATCH_ROWS, columns=names, use_threads=False)
        return batches

    def _readable(self, schema: pa.Schema) -> list[str] | None:
        """The columns to read; None when one of them cannot be."""
        if schema.names == SCHEMA.names:  # one of ours, downloaded
            self._ours = True
            return ["json"]
        names = [name for name in schema.names if not self._columns or name in self._columns.values()]
        binary = [field for field in schema if field.name in names and _is_binary(field.type)]
        for field in binary:
            at = whole_line(0, 0, field=excerpt(field.name))
            self._rows.refuse(reasons.BINARY_COLUMN, at, "", counted=False, type=str(field.type))
        return None if binary else names

    def _texts(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        if self._ours:
            return (text.encode() for text in batch.column(0).to_pylist())
        return (orjson.dumps(row, default=str) for row in batch.to_pylist())


def _is_binary(kind: pa.DataType) -> bool:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return True
    return any(_is_binary(kind.field(index).type) for index in range(kind.num_fields))
