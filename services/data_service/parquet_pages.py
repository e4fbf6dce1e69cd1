"""Pages of rows.parquet read by themselves, so that any place of a version is a few short reads and needs no pyarrow.

Each Parquet page of its columns holds INDEX_STRIDE rows, the last one the rest. rows.index tells for every page where
the compressed body of `json` lies in rows.parquet, how long it is, and the same of `line`: u64, u32, u64, u32, all
little-endian. Bodies are zstd around plain values; no value is null.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

import zstandard

from services.data_service.domain import INDEX_STRIDE

_LENGTH = struct.Struct("<I")
_PLACE = struct.Struct("<QIQI")
PLACE_BYTES = _PLACE.size
_HEADER_BYTES = 256  # more than a header without statistics has
_BOOLEANS, _INTEGERS, _BINARY, _STRUCT = (1, 2), (4, 5, 6), 8, 12  # of Thrift's compact protocol


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


def bodies(file: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Offset and length of the body of every page of a column chunk, which lies from `start` to `end` in an open file."""
    while start < end:
        fields, header_bytes = _fields(os.pread(file, _HEADER_BYTES, start), 0)
        body, size = start + header_bytes, fields[3]  # compressed_page_size
        yield body, size
        start = body + size


def _fields(data: bytes, at: int) -> tuple[dict[int, int], int]:
    """A struct of Thrift's compact protocol: its whole numbers by field, and where it ends."""
    found: dict[int, int] = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _integer(data, at)
        kind = head & 15
        if kind in _INTEGERS:
            found[number], at = _integer(data, at)
        elif kind == _STRUCT:
            _, at = _fields(data, at)
        elif kind == _BINARY:
            length, at = _varint(data, at)
            at += length
        elif kind not in _BOOLEANS:
            raise ValueError(f"a page header with a field of kind {kind}")
    return found, at + 1


def _integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return value >> 1 ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
