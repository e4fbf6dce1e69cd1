"""Rows with the same content as earlier ones, found in bounded memory."""

from __future__ import annotations

import struct
from pathlib import Path

_ENTRY = struct.Struct("<16sQ")
_BUCKETS = 256
_FLUSH_BYTES = _ENTRY.size << 11


class ExactDuplicates:
    """Rows are sorted into 256 bucket files by their digest, and each bucket is then looked at alone.

    128 bits of a digest are kept: two differing rows do not meet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffers = [bytearray() for _ in range(_BUCKETS)]

    def add(self, digest: bytes, position: int) -> None:
        """Takes note of the next row: its SHA-256 and its position, which grows."""
        buffer = self._buffers[digest[0]]
        buffer += _ENTRY.pack(digest[:16], position)
        if len(buffer) >= _FLUSH_BYTES:
            with self._bucket(digest[0]).open("ab") as file:
                file.write(buffer)
            buffer.clear()

    def mark(self, gone: bytearray, value: int) -> int:
        """Writes `value` at the position of every row that repeats an earlier one; how many there are."""
        count = 0
        for number in range(_BUCKETS):
            seen: set[bytes] = set()
            for digest, position in _ENTRY.iter_unpack(self._entries(number)):
                if digest in seen:
                    gone[position] = value
                    count += 1
                seen.add(digest)
        return count

    def _bucket(self, number: int) -> Path:
        return self._folder / f"digests-{number}"

    def _entries(self, number: int) -> bytes:
        path = self._bucket(number)
        stored = path.read_bytes() if path.exists() else b""
        path.unlink(missing_ok=True)
        return stored + bytes(self._buffers[number])
