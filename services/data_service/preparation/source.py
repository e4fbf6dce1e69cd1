"""The rows of a version, streamed out of its rows.parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow.parquet as pq

from services.data_service.arrow_values import numbers, strings
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
            wanted = {"row_groups": [group], "columns": ["line", "json"], "use_threads": False}
            for batch in self._file.iter_batches(_BATCH_ROWS, **wanted):
                lines, texts = batch.columns
                for line, text in zip(numbers(lines), map(bytes, strings(texts)), strict=True):
                    number += 1
                    yield Row(number, line, text, json.loads(text))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
