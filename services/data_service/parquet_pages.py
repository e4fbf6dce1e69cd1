"""Pages of rows.parquet read by themselves, so that any place of a version is a few short reads and needs no pyarrow.

Pages of `json` and of `line` hold the same rows. rows.index tells for every page its first row, where the compressed
body of `json` lies in rows.parquet, how long it is, and the same of `line`: u64, u64, u32, u64, u32, all little-endian.
Behind that stands its table of contents: the first row of every CHAPTER_PAGES-th page, u64. Bodies are zstd around
plain values; no value is null.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import zstandard

CHAPTER_PAGES = 512
_LENGTH = struct.Struct("<I")
_PLACE = struct.Struct("<QQIQI")
_FIRST = struct.Struct("<Q")
_CHAPTER_BYTES = CHAPTER_PAGES * _PLACE.size


class Place(NamedTuple):
    """Where a page of rows lies."""

    first_row: int
    json_offset: int
    json_bytes: int
    line_offset: int
    line_bytes: int


class Stretch(NamedTuple):
    """A part of a file."""

    offset: int
    size: int


class IndexWriter:
    """Writes rows.index, a page after another."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._pages = 0
        self._contents = bytearray()

    def append(self, place: Place) -> None:
        """The next page."""
        if self._pages % CHAPTER_PAGES == 0:
            self._contents += _FIRST.pack(place.first_row)
        self._file.write(_PLACE.pack(*place))
        self._pages += 1

    def close(self) -> None:
        """Ends the file with its table of contents."""
        with self._file:
            self._file.write(self._contents)


def contents_of(index_bytes: int) -> Stretch:
    """Where the table of contents is in an index of so many bytes."""
    chapters = -(-index_bytes // (_CHAPTER_BYTES + _FIRST.size))
    return Stretch(index_bytes - chapters * _FIRST.size, chapters * _FIRST.size)


def chapters_of(index_bytes: int, contents: bytes, first_row: int, last_row: int) -> Stretch:
    """Where the places of the pages with some rows are in an index of so many bytes and with these contents."""
    firsts = [first for (first,) in _FIRST.iter_unpack(contents)]
    start = (bisect_right(firsts, first_row) - 1) * _CHAPTER_BYTES
    end = bisect_right(firsts, last_row) * _CHAPTER_BYTES
    return Stretch(start, min(end, contents_of(index_bytes).offset) - start)


def places_of(chapters: bytes, first_row: int, last_row: int) -> Sequence[Place]:
    """The pages with some rows, out of the chapters about them."""
    places = [Place(*fields) for fields in _PLACE.iter_unpack(chapters)]
    first, last = (bisect_right(places, row, key=lambda place: place.first_row) for row in (first_row, last_row))
    return places[first - 1 : last]


def unpack_page(json: bytes, line: bytes, skip: int = 0) -> Iterator[tuple[int, bytes]]:
    """Line and JSON of every row of a page, from row `skip` of it on; no more is unpacked than is taken."""
    unpacker = zstandard.ZstdDecompressor()
    packed = unpacker.decompress(line)
    with unpacker.stream_reader(BytesIO(json)) as stream:
        for row, (number,) in enumerate(struct.iter_unpack("<q", packed)):
            (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
            data = stream.read(length)
            if row >= skip:
                yield number, data
