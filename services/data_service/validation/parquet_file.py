"""The one kind of Parquet file that a version is kept in, written a page at a time.

Required columns, plain values, pages of so many rows as the writer gives: that is little of the format, and pages are
compressed with one context, by zstd itself, at half the processor time that a writer of all of it takes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import zstandard

from services.data_service.validation.thrift import Binary, Int, Items, Struct, encode

_MAGIC = b"PAR1"
_PLAIN, _RLE, _UTF8, _VERSION = 0, 3, 0, 2
_LEVEL = 1


class Kind(IntEnum):
    """Parquet's physical types."""

    INT64 = 2
    BYTE_ARRAY = 6
    FIXED_LEN_BYTE_ARRAY = 7


@dataclass(frozen=True)
class Column:
    """A column without nulls."""

    name: str
    kind: Kind
    width: int = 0
    """Bytes of each value of fixed length."""
    text: bool = False
    compressed: bool = True


class Page(NamedTuple):
    """Where the compressed body of a page lies."""

    offset: int
    size: int


@dataclass
class _Chunk:
    """A column of a row group, as far as it is written."""

    offset: int
    values: int = 0
    plain: int = 0
    stored: int = 0
    pages: list[Page] = field(default_factory=list)


class ParquetFile:
    """Writes row groups, and what tells of them when it is closed."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._file = path.open("wb")
        self._file.write(_MAGIC)
        self._at = len(_MAGIC)
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._groups: list[Struct] = []
        self._rows = 0

    def write(self, columns: Sequence[tuple[Sequence[bytes | memoryview], Sequence[int]]]) -> list[list[Page]]:
        """Appends a row group: of each column the plain values of its pages, and how many rows each has."""
        chunks = [self._chunk(column, *pages) for column, pages in zip(self._columns, columns, strict=True)]
        rows = chunks[0].values
        described = [_chunk(column, chunk) for column, chunk in zip(self._columns, chunks, strict=True)]
        size = sum(chunk.plain for chunk in chunks)
        self._groups.append({1: Items(described), 2: Int(size, wide=True), 3: Int(rows, wide=True)})
        self._rows += rows
        return [chunk.pages for chunk in chunks]

    def close(self) -> None:
        """Ends the file."""
        with self._file:
            root: Struct = {4: Binary(b"schema"), 5: Int(len(self._columns))}
            footer = encode(
                {
                    1: Int(_VERSION),
                    2: Items([root, *map(_element, self._columns)]),
                    3: Int(self._rows, wide=True),
                    4: Items(self._groups),
                    6: Binary(b"aift"),
                }
            )
            self._file.write(footer + struct.pack("<I", len(footer)) + _MAGIC)

    def _chunk(self, column: Column, pages: Sequence[bytes | memoryview], rows: Sequence[int]) -> _Chunk:
        chunk = _Chunk(self._at)
        for page, count in zip(pages, rows, strict=True):
            body = self._compress(page) if column.compressed else page
            header = encode(
                {
                    1: Int(0),  # a data page
                    2: Int(len(page)),
                    3: Int(len(body)),
                    4: Int(struct.unpack("<i", struct.pack("<I", zlib.crc32(body)))[0]),
                    5: {1: Int(count), 2: Int(_PLAIN), 3: Int(_RLE), 4: Int(_RLE)},
                }
            )
            self._file.write(header)
            self._file.write(body)
            chunk.pages.append(Page(self._at + len(header), len(body)))
            chunk.values += count
            chunk.plain += len(header) + len(page)
            chunk.stored += len(header) + len(body)
            self._at += len(header) + len(body)
        return chunk


def _element(column: Column) -> Struct:
    """A column in the schema."""
    element: Struct = {1: Int(column.kind)}
    if column.width:
        element[2] = Int(column.width)
    element |= {3: Int(0), 4: Binary(column.name.encode())}
    return element | {6: Int(_UTF8), 10: {1: {}}} if column.text else element


def _chunk(column: Column, chunk: _Chunk) -> Struct:
    """A column of a row group in the footer."""
    return {
        2: Int(chunk.offset, wide=True),
        3: {
            1: Int(column.kind),
            2: Items([Int(_PLAIN)]),
            3: Items([Binary(column.name.encode())]),
            4: Int(6 if column.compressed else 0),  # zstd or none
            5: Int(chunk.values, wide=True),
            6: Int(chunk.plain, wide=True),
            7: Int(chunk.stored, wide=True),
            9: Int(chunk.offset, wide=True),
        },
    }
