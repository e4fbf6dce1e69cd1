"""Finds rows that repeat earlier ones, with memory for a few hundred thousand rows however many there are."""

from __future__ import annotations

from heapq import nsmallest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from services.data_service.validation.blocks import Fingerprints, Numbers
from services.data_service.validation.findings import MAX_EXAMPLES

_ENTRY_BYTES = 16
"""A row's fingerprint and which of all rows it is."""
_BUCKETS = 64
_FLUSH_BYTES = 128 << 10
_PLACES = ("lines", "offsets", "columns")
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
        self._waiting: list[Fingerprints] = []
        self._waiting_rows = 0

    def add(self, fingerprints: Fingerprints, lines: Numbers, offsets: Numbers, columns: Numbers | None = None) -> None:
        """Takes note of rows: their fingerprints, lines, byte offsets and, where there are any, columns."""
        self._keep("lines", lines)
        self._keep("offsets", offsets)
        if columns is not None:
            self._keep("columns", columns)
        self._rows += len(lines)
        self._waiting.append(fingerprints)
        self._waiting_rows += len(lines)
        if self._waiting_rows >= _AT_ONCE:
            self._spread()

    def result(self) -> tuple[int, list[Repeat]]:
        """How many rows repeat an earlier one, and the first of them in the order of the file."""
        self._spread()
        count = 0
        first: list[int] = []
        for bucket in range(_BUCKETS):
            rows = _repeats(self._entries(bucket))
            count += len(rows)
            first = nsmallest(MAX_EXAMPLES, [*first, *np.sort(rows)[:MAX_EXAMPLES].tolist()])
        places = [tuple(self._kept(name, row) for name in _PLACES) for row in first]
        for name in _PLACES:
            (self._folder / name).unlink(missing_ok=True)
        return count, [Repeat(row, *place) for row, place in zip(first, places, strict=True)]

    def _spread(self) -> None:
        fingerprints = np.concatenate([np.empty(0, np.uint64), *self._waiting])
        first_row = self._rows - len(fingerprints)
        self._waiting, self._waiting_rows = [], 0
        buckets = (fingerprints % _BUCKETS).astype(np.uint8)
        order = np.argsort(buckets, kind="stable")
        ends = (_ENTRY_BYTES * np.cumsum(np.bincount(buckets, minlength=_BUCKETS))).tolist()
        entries = np.column_stack((fingerprints[order], (order + first_row).astype(np.uint64))).tobytes()
        for bucket, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            self._put(bucket, entries[start:end])

    def _keep(self, name: str, places: Numbers) -> None:
        """Every row has its place in the file, which has holes for rows without."""
        with (self._folder / name).open("ab") as file:
            file.truncate(self._rows * places.itemsize)
            file.write(places.tobytes())

    def _kept(self, name: str, row: int) -> int:
        path = self._folder / name
        if not path.exists():
            return 0
        found = np.fromfile(path, np.int64, count=1, offset=row * 8)
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

    def _entries(self, bucket: int) -> Fingerprints:
        """[rows, 2], the fingerprints of a bucket and whose they are."""
        path = self._file(bucket)
        stored = path.read_bytes() if path.exists() else b""
        path.unlink(missing_ok=True)
        return np.frombuffer(stored + self._buffers[bucket], np.uint64).reshape(-1, 2)


def _repeats(entries: Fingerprints) -> Numbers:
    """Which rows are not the first with their fingerprint. Few files have any, and to tell that takes little time."""
    ordered = np.sort(entries[:, 0])
    entries = entries[np.isin(entries[:, 0], ordered[1:][ordered[1:] == ordered[:-1]])]
    entries = entries[np.argsort(entries[:, 0], kind="stable")]
    rows: Numbers = entries[1:, 1][entries[1:, 0] == entries[:-1, 0]].astype(np.int64)
    return rows
