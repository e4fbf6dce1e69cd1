"""Frames of rows.pages: 64 rows each, compressed by themselves, so that any page of a version is one short read.

A frame is zstd around: the number of rows (u32), their lines in the original (u64 each), where each row's JSON ends
(u32 each), and the JSON itself, row after row. rows.index holds the offset of every frame and then the end (u64 each).
Integers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO

import zstandard

_COUNT = struct.Struct("<I")
OFFSET = struct.Struct("<Q")


def pack_frame(lines: bytes, ends: bytes, data: bytes | memoryview, compressor: zstandard.ZstdCompressor) -> bytes:
    """A frame.

    Args:
        lines: lines in the original, from 1, u64 each.
        ends: where each row's JSON ends in `data`, u32 each.
        data: compact JSON of all rows.
        compressor: its level is its maker's choice.
    """
    return compressor.compress(b"".join((_COUNT.pack(len(ends) // 4), lines, ends, data)))


def unpack_frame(frame: bytes, skip: int = 0) -> Iterator[tuple[int, bytes]]:
    """Line and compact JSON of every row of a frame, from row `skip` of it on; no more is unpacked than is taken."""
    with zstandard.ZstdDecompressor().stream_reader(BytesIO(frame)) as stream:
        (count,) = _COUNT.unpack(stream.read(_COUNT.size))
        lines = struct.unpack(f"<{count}Q", stream.read(8 * count))
        ends = struct.unpack(f"<{count}I", stream.read(4 * count))
        start = 0
        for row, (line, end) in enumerate(zip(lines, ends, strict=True)):
            data = stream.read(end - start)
            start = end
            if row >= skip:
                yield line, data
