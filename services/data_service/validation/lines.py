"""The lines of a file, one after another, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, NamedTuple

BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """One line without its end."""

    number: int
    """From 1."""
    offset: int
    """Of its first byte in the file, from 0."""
    end: int
    """Where the next line begins."""
    data: bytes
    """Its content; of a line that is too long, the beginning."""
    too_long: bool
    column: int = 0
    """From 1, where it begins in a line of the file that holds more; 0 where it is all of it."""


def read_lines(stream: IO[bytes], max_bytes: int, offset: int = 0, number: int = 0) -> Iterator[Line]:
    """The lines that are not blank. Only LF ends a line; a CR before it belongs to the end. A BOM is passed over.

    `offset` is where the stream stands, `number` how many lines came before.
    """
    while data := stream.readline(max_bytes + 2):
        number += 1
        start, offset = offset, offset + len(data)
        unfinished = len(data) == max_bytes + 2 and not data.endswith(b"\n")
        if unfinished:
            offset += skip_line(stream)
        if start == 0 and data.startswith(BOM):
            start, data = len(BOM), data[len(BOM) :]
        data = data.rstrip(b"\r\n")
        if data.strip():
            yield Line(number, start, offset, data, unfinished or len(data) > max_bytes)


def skip_line(stream: IO[bytes]) -> int:
    """Reads to the end of the line and tells how many bytes that were."""
    skipped = 0
    while data := stream.read(1 << 20):
        end = data.find(b"\n") + 1
        if end:
            stream.seek(end - len(data), os.SEEK_CUR)
            return skipped + end
        skipped += len(data)
    return skipped
