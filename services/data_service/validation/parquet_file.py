"""The one kind of Parquet file that a version is kept in, written a page at a time.

Required columns, plain values, pages of so many rows as the writer gives: that is little of the format, and pages are
compressed with one context, by zstd itself, at half the processor time that a writer of all of it takes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import zstandard

from services.data_service.validation.thrift import Binary, Int, Items, Struct, encode

_MAGIC = b"PAR1"
_PLAIN, _RLE, _UTF8, _ZSTD, _VERSION = 0, 3, 0, 6, 2
_LEVEL, _MIN_MATCH = 1, 7  # less than two characters of Japanese are not worth looking for


class Kind(IntEnum):
    """Parquet's physical types."""

    INT64 = 2
    BYTE_ARRAY = 6


@dataclass(frozen=True)
class Column:
    """A column without nulls."""

    name: str
    kind: Kind
    text: bool = False


class Page(NamedTuple):
    """Some values of a column, ready to be written."""

    rows: int
    header: bytes
    body: bytes | memoryview
    plain_bytes: int
    """Of header and body before it was compressed."""


class PageWriter:
    """Makes pages."""

    def __init__(self) -> None:
        settings = zstandard.ZstdCompressionParameters.from_level(_LEVEL, min_match=_MIN_MATCH)
        self._compress = zstandard.ZstdCompressor(compression_params=settings).compress

    def page(self, column: Column, values: bytes | memoryview, rows: int) -> Page:
        """A page of plain values."""
        body = self._compress(values)
        header = encode(
            {
                1: Int(0),  # a data page
                2: Int(len(values)),
                3: Int(len(body)),
                4: Int(struct.unpack("<i", struct.pack("<I", zlib.crc32(body)))[0]),
                5: {1: Int(rows), 2: Int(_PLAIN), 3: Int(_RLE), 4: Int(_RLE)},
            }
        )
        return Page(rows, header, body, len(header) + len(values))


class Place(NamedTuple):
    """Where the body of a page lies."""

    offset: int
    size: int


class ParquetFile:
    """Writes row groups, and what tells of them when it is closed."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._file = path.open("wb")
        self._file.write(_MAGIC)
        self._at = len(_MAGIC)
        self._groups: list[Struct] = []
        self._rows = 0

    def write(self, columns: Sequence[Sequence[Page]]) -> list[list[Place]]:
        """Appends a row group: the pages of each column. Tells where they are."""
        chunks = []
        places = []
        pieces: list[bytes | memoryview] = []
        for column, pages in zip(self._columns, columns, strict=True):
            chunks.append(_chunk(column, self._at, pages))
            places.append([self._place(page) for page in pages])
            pieces += [piece for page in pages for piece in (page.header, page.body)]
        self._file.write(b"".join(pieces))
        rows = sum(page.rows for page in columns[0])
        size = sum(page.plain_bytes for pages in columns for page in pages)
        self._groups.append({1: Items(chunks), 2: Int(size, wide=True), 3: Int(rows, wide=True)})
        self._rows += rows
        return places

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

    def _place(self, page: Page) -> Place:
        self._at += len(page.header) + len(page.body)
        return Place(self._at - len(page.body), len(page.body))


def _element(column: Column) -> Struct:
    """A column in the schema."""
    element: Struct = {1: Int(column.kind)}
    element |= {3: Int(0), 4: Binary(column.name.encode())}
    return element | {6: Int(_UTF8), 10: {1: {}}} if column.text else element


def _chunk(column: Column, offset: int, pages: Sequence[Page]) -> Struct:
    """A column of a row group in the footer."""
    return {
        2: Int(offset, wide=True),
        3: {
            1: Int(column.kind),
            2: Items([Int(_PLAIN)]),
            3: Items([Binary(column.name.encode())]),
            4: Int(_ZSTD),
            5: Int(sum(page.rows for page in pages), wide=True),
            6: Int(sum(page.plain_bytes for page in pages), wide=True),
            7: Int(sum(len(page.header) + len(page.body) for page in pages), wide=True),
            9: Int(offset, wide=True),
        },
    }
