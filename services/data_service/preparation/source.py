"""The rows of a version, streamed out of its rows.parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from services.data_service.preparation.rows import Row

_BATCH_ROWS = 512


class Source:
    """Reads one file, a batch of rows at a time."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, pre_buffer=False)
        self.rows: int = self._file.metadata.num_rows

    def __iter__(self) -> Iterator[Row]:
        number = 0
        for group in range(self._file.num_row_groups):  # one by one: over several Arrow keeps what it has read
            wanted = {"row_groups": [group], "columns": ["line", "digest", "json"], "use_threads": False}
            for batch in self._file.iter_batches(_BATCH_ROWS, **wanted):
                lines, digests, texts = batch.columns
                for line, digest, text in zip(_numbers(lines), _digests(digests), _bytes(texts), strict=True):
                    number += 1
                    yield Row(number, line, text, json.loads(text), digest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


# Taken from Arrow's own buffers: `to_pylist` makes an object of Arrow's for every value first.
def _numbers(column: pa.Array) -> list[int]:
    values = memoryview(column.buffers()[1]).cast("q")
    return values[column.offset : column.offset + len(column)].tolist()


def _digests(column: pa.Array) -> Iterator[bytes]:
    data = column.buffers()[1]
    for at in range(column.offset, column.offset + len(column)):
        yield data[at * 32 : (at + 1) * 32].to_pybytes()


def _bytes(column: pa.Array) -> Iterator[bytes]:
    _, ends, data = column.buffers()
    offsets = memoryview(ends).cast("i")
    for at in range(column.offset, column.offset + len(column)):
        yield data[offsets[at] : offsets[at + 1]].to_pybytes()
