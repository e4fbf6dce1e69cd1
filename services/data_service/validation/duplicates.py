"""Finds rows that repeat earlier ones, with memory for a few hundred thousand rows however many there are."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from heapq import nsmallest
from pathlib import Path
from typing import NamedTuple

from services.data_service.validation.findings import MAX_EXAMPLES

_ENTRY = struct.Struct("<QQQ")
_BUCKETS = 256
_FLUSH_BYTES = 96 << 10  # a whole number of entries


class Repeat(NamedTuple):
    """A row that repeats an earlier one."""

    line: int
    offset: int


class Duplicates:
    """Rows are sorted into 256 bucket files by their digest; each bucket is then looked at alone.

    Only 64 bits of a digest are kept: among ten million rows two differing ones meet with a chance of 1 in 370,000,
    and the finding is a warning.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffers = [bytearray() for _ in range(_BUCKETS)]

    def add(self, digest: bytes, line: int, offset: int) -> None:
        """Takes note of a row: its SHA-256, line and byte offset."""
        buffer = self._buffers[digest[0]]
        buffer += _ENTRY.pack(int.from_bytes(digest[1:9], "little"), line, offset)
        if len(buffer) >= _FLUSH_BYTES:
            with self._bucket(digest[0]).open("ab") as file:
                file.write(buffer)
            buffer.clear()

    def result(self) -> tuple[int, list[Repeat]]:
        """How many rows repeat an earlier one, and the first of them in the order of the file."""
        count = 0
        first: list[Repeat] = []
        for number in range(_BUCKETS):
            repeats = list(_repeats(self._entries(number)))
            count += len(repeats)
            first = nsmallest(MAX_EXAMPLES, first + repeats)
        return count, first

    def _bucket(self, number: int) -> Path:
        return self._folder / f"digests-{number}"

    def _entries(self, number: int) -> bytes:
        path = self._bucket(number)
        stored = path.read_bytes() if path.exists() else b""
        path.unlink(missing_ok=True)
        return stored + self._buffers[number]


def _repeats(entries: bytes) -> Iterator[Repeat]:
    seen: set[int] = set()
    for digest, line, offset in _ENTRY.iter_unpack(entries):
        if digest in seen:
            yield Repeat(line, offset)
        seen.add(digest)
