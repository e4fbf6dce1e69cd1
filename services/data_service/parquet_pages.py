"""Pages of rows.parquet read by themselves, so that any place of a version is a few short reads and needs no pyarrow.

Each Parquet page of `json` and of `line` holds INDEX_STRIDE rows, the last one the rest. rows.index tells for every
page where the compressed body of `json` lies in rows.parquet, how long it is, and the same of `line`: u64, u32, u64,
u32, all little-endian. Bodies are zstd around plain values; no value is null.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

import zstandard

from services.data_service.domain import INDEX_STRIDE

_LENGTH = struct.Struct("<I")
_PLACE = struct.Struct("<QIQI")
PLACE_BYTES = _PLACE.size


class Place(NamedTuple):
    """Where a page of rows lies."""

    json_offset: int
    json_bytes: int
    line_offset: int
    line_bytes: int

    def pack(self) -> bytes:
        """Its entry in rows.index."""
        return _PLACE.pack(*self)


def unpack_places(index: bytes) -> list[Place]:
    """Entries of rows.index."""
    return [Place(*fields) for fields in _PLACE.iter_unpack(index)]


def unpack_page(json: bytes, line: bytes, skip: int = 0) -> Iterator[tuple[int, bytes]]:
    """Line and JSON of every row of a page, from row `skip` of it on; no more is unpacked than is taken."""
    unpacker = zstandard.ZstdDecompressor()
    packed = unpacker.decompress(line, max_output_size=8 * INDEX_STRIDE)
    with unpacker.stream_reader(BytesIO(json)) as stream:
        for row, (number,) in enumerate(struct.iter_unpack("<q", packed)):
            (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
            data = stream.read(length)
            if row >= skip:
                yield number, data
