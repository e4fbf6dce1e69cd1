"""Two versions compared by the digests of their rows, in memory that does not grow with their size."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from services.data_service.arrow_values import strings
from services.data_service.differences.buckets import Buckets, Rows, count_for, pair
from services.data_service.differences.request import Difference, DiffRequest, ShownRow, Side
from services.data_service.row_texts import RowTexts
from services.text.rows import Preference

_BATCH_ROWS = 4096


class Table:
    """The rows of one version."""

    def __init__(self, side: Side) -> None:
        self.file = pq.ParquetFile(side.file)
        self.rows: int = self.file.metadata.num_rows
        self.texts = RowTexts(side.template)
        self.single = np.ones(self.rows, dtype=bool)
        """Whether the row has found no counterpart yet."""

    def digests(self, into: Buckets) -> None:
        """Spreads the digests of all rows."""
        for first, batch in self._batches(self.single, ["json"]):
            digests = b"".join(hashlib.sha256(json).digest() for json in strings(batch.column("json")))
            into.add(digests, np.arange(first, first + batch.num_rows))

    def prompts(self, into: Buckets) -> None:
        """Spreads the digests of the prompts of rows without a counterpart. Rows that have no prompt stay out."""
        for first, batch in self._batches(self.single, ["json"]):
            rows, digests = [], bytearray()
            for offset in np.flatnonzero(self.single[first : first + batch.num_rows]):
                prompt = self.texts.of(batch.column("json")[int(offset)].as_py()).prompt
                if prompt:
                    rows.append(first + int(offset))
                    digests += hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()
            into.add(bytes(digests), np.array(rows, dtype=np.int64))

    def show(self, rows: Sequence[int]) -> dict[int, ShownRow]:
        """Some rows by their position."""
        wanted = np.zeros(self.rows, dtype=bool)
        wanted[list(rows)] = True
        shown = {}
        for first, batch in self._batches(wanted, ["line", "json"]):
            for offset in np.flatnonzero(wanted[first : first + batch.num_rows]):
                index = first + int(offset)
                shown[index] = self._row(index, batch, int(offset))
        return shown

    def _row(self, index: int, batch: pa.RecordBatch, offset: int) -> ShownRow:
        line, text = (batch.column(name)[offset].as_py() for name in ("line", "json"))
        example = self.texts.of(text)
        return ShownRow(
            index=index,
            line=line,
            json=text,
            prompt=example.prompt,
            completion=example.completion,
            rejected=example.rejected if isinstance(example, Preference) else "",
        )

    def _batches(self, wanted: npt.NDArray[np.bool_], columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Columns of the row groups that have a wanted row, each batch with its first row's position."""
        first = 0
        for group in range(self.file.num_row_groups):
            length = self.file.metadata.row_group(group).num_rows
            if wanted[first : first + length].any():
                at = first
                for batch in self.file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns):
                    yield at, batch
                    at += batch.num_rows
            first += length


def compare(request: DiffRequest) -> Difference:
    """Compares the versions. Rows that appear several times count as often as they appear."""
    version, base = Table(request.version), Table(request.base)
    folder = Path(request.folder)
    unchanged = _match(folder / "rows", version, base, prompts=False)[0]
    changed_rows, changed = _match(folder / "prompts", version, base, prompts=True, keep=request.limit)
    added, removed = (np.flatnonzero(table.single) for table in (version, base))
    after = version.show([*added[: request.limit].tolist(), *(row for row, _ in changed)])
    before = base.show([*removed[: request.limit].tolist(), *(row for _, row in changed)])
    pairs = [(before[theirs], after[ours]) for ours, theirs in changed]
    return Difference(
        unchanged_rows=unchanged,
        added_rows=len(added),
        removed_rows=len(removed),
        changed_rows=changed_rows,
        added=tuple(row for (row,) in _fitting([(after[i],) for i in added[: request.limit]], request.max_bytes)),
        removed=tuple(row for (row,) in _fitting([(before[i],) for i in removed[: request.limit]], request.max_bytes)),
        changed=tuple((one, other) for one, other in _fitting(pairs, request.max_bytes)),
    )


def _match(
    folder: Path, version: Table, base: Table, *, prompts: bool, keep: int = 0
) -> tuple[int, list[tuple[int, int]]]:
    """Takes rows with the same digest, or the same prompt, off both sides; how many, and the first of them."""
    folder.mkdir()
    count = count_for(max(version.rows, base.rows))
    sides = [Buckets(folder / name, count) for name in ("version", "base")]
    for table, side in zip((version, base), sides, strict=True):
        with side:
            (table.prompts if prompts else table.digests)(side)
    matched = 0
    first: list[tuple[int, int]] = []
    for ours, theirs in zip(sides[0].each(), sides[1].each(), strict=True):
        here, there = pair(ours, theirs)
        version.single[here] = base.single[there] = False
        matched += len(here)
        first = heapq.nsmallest(keep, first + _smallest(here, there, keep))
    return matched, first


def _smallest(here: Rows, there: Rows, keep: int) -> list[tuple[int, int]]:
    order = np.argsort(here)[:keep]
    return list(zip(here[order].tolist(), there[order].tolist(), strict=True))


def _fitting(groups: Sequence[tuple[ShownRow, ...]], max_bytes: int) -> Iterator[tuple[ShownRow, ...]]:
    """The first groups of rows that are not longer together than allowed."""
    size = 0
    for group in groups:
        # Once as JSON, once as prompt and completion.
        size += sum(2 * len(row.json.encode()) for row in group)
        if size > max_bytes:
            return
        yield group
