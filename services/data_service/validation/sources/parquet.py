"""Rows of Parquet files, a batch at a time; structs and lists become JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from services.data_service.validation import file_reasons
from services.data_service.validation.blocks import Packet
from services.data_service.validation.canonical_schema import SCHEMA
from services.data_service.validation.excerpt import excerpt
from services.data_service.validation.findings import whole_line
from services.data_service.validation.reasons import Reason
from services.data_service.validation.sources.cells import Cells
from services.data_service.validation.sources.packing import Packing

_MARK = b"PAR1"
_BATCH_ROWS = 256
_BUFFER_BYTES = 1 << 20


class Parquet:
    """A Parquet file. With `columns` only those are read that are named there."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self._path = path
        self._columns = columns
        self._cells = Cells(columns)
        self._ours = False
        self._rows = Packing()

    def blocks(self) -> Iterator[Packet]:
        """The rows in packets; their line is the row in the file, from 1."""
        size = self._path.stat().st_size
        reason = self._torn(size)
        if reason is not None:
            self._rows.note(reason, None, fatal=True)
            yield self._rows.take(size)
            return
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
            self._rows.note(file_reasons.PARQUET_BROKEN, None, fatal=True, detail=excerpt(str(error)))
        yield self._rows.take(size)

    def _torn(self, size: int) -> Reason | None:
        """Why its first and last bytes are not those of a Parquet file."""
        with self._path.open("rb") as file:
            if file.read(len(_MARK)) != _MARK:
                return file_reasons.NOT_PARQUET
            file.seek(max(size - len(_MARK), len(_MARK)))
            return None if file.read() == _MARK else file_reasons.PARQUET_CUT

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
            self._rows.refuse(
                file_reasons.BINARY_COLUMN, at, "", counted=False, column=field.name, type=str(field.type)
            )
        return None if binary else names

    def _texts(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        if self._ours:
            return (text.encode() for text in batch.column(0).to_pylist())
        return (orjson.dumps(self._cells.row(row), default=str) for row in batch.to_pylist())


def _is_binary(kind: pa.DataType) -> bool:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return True
    return any(_is_binary(kind.field(index).type) for index in range(kind.num_fields))
