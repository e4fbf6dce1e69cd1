"""Finds rows that repeat earlier ones, with memory for a few hundred thousand rows however many there are."""

from __future__ import annotations

from heapq import nsmallest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.data_service.validation.blocks import Fingerprints, Numbers
from services.data_service.validation.findings import MAX_EXAMPLES

_ENTRY = np.dtype([("fingerprint", "<u8"), ("line", "<i8"), ("offset", "<i8"), ("row", "<i8")])
_BUCKETS = 64
_FLUSH_BYTES = 128 << 10
_AT_ONCE = 1 << 14
"""So many rows are sorted into buckets together."""


class Repeat(NamedTuple):
    """A row that repeats an earlier one."""

    row: int
    """Which of all rows it is, from 0."""
    line: int
    offset: int
    column: int = 0


class Duplicates:
    """Rows are sorted into bucket files by their fingerprint; each bucket is then looked at alone.

    A fingerprint has 64 bits: among ten million rows two differing ones meet with a chance of 1 in 370,000,
    and the finding is a warning.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffers = [bytearray() for _ in range(_BUCKETS)]
        self._rows = 0
        self._waiting: list[npt.NDArray[np.void]] = []
        self._waiting_rows = 0
        self._columns = folder / "columns"

    def add(self, fingerprints: Fingerprints, lines: Numbers, offsets: Numbers, columns: Numbers | None = None) -> None:
        """Takes note of rows: their fingerprints, lines, byte offsets and, where there are any, columns."""
        if columns is not None:
            self._keep(columns)
        entries = np.empty(len(lines), _ENTRY)
        entries["fingerprint"] = fingerprints
        entries["line"], entries["offset"] = lines, offsets
        entries["row"] = np.arange(self._rows, self._rows + len(lines))
        self._rows += len(lines)
        self._waiting.append(entries)
        self._waiting_rows += len(lines)
        if self._waiting_rows >= _AT_ONCE:
            self._spread()

    def result(self) -> tuple[int, list[Repeat]]:
        """How many rows repeat an earlier one, and the first of them in the order of the file."""
        self._spread()
        count = 0
        first: list[Repeat] = []
        for bucket in range(_BUCKETS):
            repeats = _repeats(self._entries(bucket))
            count += len(repeats)
            repeats = repeats[np.argsort(repeats["row"])[:MAX_EXAMPLES]]
            first += [Repeat(int(entry["row"]), int(entry["line"]), int(entry["offset"])) for entry in repeats]
            first = nsmallest(MAX_EXAMPLES, first)
        first = [repeat._replace(column=self._column(repeat.row)) for repeat in first]
        self._columns.unlink(missing_ok=True)
        return count, first

    def _spread(self) -> None:
        entries = np.concatenate([np.empty(0, _ENTRY), *self._waiting])
        self._waiting, self._waiting_rows = [], 0
        buckets = (entries["fingerprint"] % _BUCKETS).astype(np.uint8)
        order = np.argsort(buckets, kind="stable")
        ends = np.cumsum(np.bincount(buckets, minlength=_BUCKETS)).tolist()
        raw = entries[order].tobytes()
        for bucket, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            self._put(bucket, raw[start * _ENTRY.itemsize : end * _ENTRY.itemsize])

    def _keep(self, columns: Numbers) -> None:
        """Every row has its place in the file, which has holes for rows without."""
        with self._columns.open("ab") as file:
            file.truncate(self._rows * columns.itemsize)
            file.write(columns.tobytes())

    def _column(self, row: int) -> int:
        if not self._columns.exists():
            return 0
        found = np.fromfile(self._columns, np.int64, count=1, offset=row * 8)
        return int(found[0]) if len(found) else 0

    def _put(self, bucket: int, entries: bytes) -> None:
        buffer = self._buffers[bucket]
        buffer += entries
        if len(buffer) >= _FLUSH_BYTES:
            with self._file(bucket).open("ab") as file:
                file.write(buffer)
            buffer.clear()

    def _file(self, bucket: int) -> Path:
        return self._folder / f"fingerprints-{bucket}"

    def _entries(self, bucket: int) -> npt.NDArray[np.void]:
        path = self._file(bucket)
        stored = path.read_bytes() if path.exists() else b""
        path.unlink(missing_ok=True)
        return np.frombuffer(stored + self._buffers[bucket], _ENTRY)


def _repeats(entries: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """All but the first of the entries with the same fingerprint."""
    order = np.argsort(entries["fingerprint"], kind="stable")
    prints = entries["fingerprint"][order]
    repeats: npt.NDArray[np.void] = entries[order[1:][prints[1:] == prints[:-1]]]
    return repeats
