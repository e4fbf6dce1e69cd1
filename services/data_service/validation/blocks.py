"""Pieces of a file of some MiB, each a number of whole rows, which are checked one by one and by several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from services.data_service.validation.findings import Findings
from services.data_service.validation.lines import BOM, Line, read_lines, skip_line

BLOCK_BYTES = 4 << 20
Numbers: TypeAlias = npt.NDArray[np.int64]
Fingerprints: TypeAlias = npt.NDArray[np.uint64]


class Aside(NamedTuple):
    """A row that was set aside: its line and column, and a line of JSON about it."""

    line: int
    column: int
    json: bytes


class Rows(NamedTuple):
    """Rows that follow each other in a version."""

    lines: Numbers
    """[rows], in the original, from 1."""
    fingerprints: Fingerprints
    """[rows], the same of rows that are the same."""
    ends: npt.NDArray[np.int32]
    """[rows], where each row ends in `data`."""
    data: bytes | memoryview
    """The plain value of each."""


def plain_value(json: bytes) -> bytes:
    """A row's JSON as Parquet has plain strings: after its length."""
    return len(json).to_bytes(4, "little") + json


@dataclass(frozen=True, kw_only=True)
class Span:
    """Lines of a file, to be read by whoever checks them."""

    path: str
    start: int
    end: int
    """Of a line that is too long, where its beginning ends."""
    first_line: int

    def read(self) -> bytes:
        """Its bytes."""
        with Path(self.path).open("rb", buffering=0) as stream:
            return os.pread(stream.fileno(), self.end - self.start, self.start)

    def load(self, max_line_bytes: int) -> Lines:
        """Reads the lines."""
        texts = self.read().split(b"\n")
        if not texts[-1]:
            texts.pop()
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        offsets = self.start + np.cumsum(lengths + 1) - lengths - 1
        if self.start == 0 and texts and texts[0].startswith(BOM):
            texts[0] = texts[0][len(BOM) :]
            offsets[0] = len(BOM)
        return self.lines(texts, offsets, max_line_bytes)

    def lines(self, texts: list[bytes], offsets: Numbers, max_line_bytes: int) -> Lines:
        """Its lines, each with its number. `texts` may be left out where nobody reads them."""
        numbers = np.arange(self.first_line, self.first_line + len(offsets), dtype=np.int64)
        return Lines(texts, numbers, offsets, self, max_line_bytes)

    def after(self, offset: int, line: int) -> Span:
        """What is left from a line on."""
        return Span(path=self.path, start=offset, end=self.end, first_line=line)


@dataclass(frozen=True, kw_only=True)
class Packet:
    """Rows of a file of another kind, already as JSON, and what was found while they were read."""

    texts: list[bytes]
    numbers: list[int]
    offsets: list[int]
    columns: list[int]
    """From 1, where each row begins in its line; 0 where that means nothing."""
    end: int
    """How far the file was read."""
    findings: Findings = field(default_factory=Findings)
    aside: list[Aside] = field(default_factory=list)
    bad_rows: int = 0

    @property
    def start(self) -> int:
        """Packets never overlap."""
        return self.end

    def load(self, max_line_bytes: int) -> Lines:
        """The rows as lines."""
        numbers, offsets = (np.asarray(values, dtype=np.int64) for values in (self.numbers, self.offsets))
        return Lines(self.texts, numbers, offsets, None, max_line_bytes, self.columns)


Block: TypeAlias = Span | Packet


@dataclass(frozen=True)
class Lines:
    """The lines of a block, blank ones too, with their numbers and offsets in the file."""

    texts: list[bytes]
    numbers: Numbers
    offsets: Numbers
    span: Span | None
    max_bytes: int
    columns: Sequence[int] = ()
    """Where each begins in its line, as a packet has it."""

    def line(self, index: int) -> Line:
        """One line without its end."""
        text = self.texts[index]
        data = text.rstrip(b"\r\n") if self.span else text
        offset = int(self.offsets[index])
        too_long = len(data) > self.max_bytes
        data = data[: self.max_bytes]
        column = self.columns[index] if self.columns else 0
        return Line(int(self.numbers[index]), offset, offset + len(text) + 1, data, too_long, column)

    def following(self, index: int) -> Iterator[Line]:
        """The lines after one that are not blank, also beyond the block; nothing where rows are no lines."""
        if self.span is None:
            return
        yield from (self.line(i) for i in range(index + 1, len(self.texts)) if self.texts[i].strip())
        with Path(self.span.path).open("rb") as stream:
            stream.seek(self.span.end)
            yield from read_lines(stream, self.max_bytes, self.span.end, int(self.numbers[-1]))


def spans(path: Path, max_line_bytes: int, block_bytes: int = BLOCK_BYTES) -> Iterator[Span]:
    """The lines of a file in blocks. Only the beginning of a line that is too long is in its block."""
    longest = max_line_bytes + len(BOM) + 2
    with path.open("rb", buffering=0) as stream:
        file_bytes = os.fstat(stream.fileno()).st_size
        buffer = bytearray(min(max(block_bytes, longest), file_bytes))
        view = memoryview(buffer)
        start, line = 0, 1
        while start < file_bytes:
            stream.seek(start)
            size = stream.readinto(view[:block_bytes]) or 0
            if size < longest and buffer.find(b"\n", 0, size) < 0:
                size += stream.readinto(view[size:longest]) or 0
            last = start + size >= file_bytes
            end = start + (size if last else buffer.rfind(b"\n", 0, size) + 1)
            if end == start:  # one line, and more of it to come
                yield Span(path=str(path), start=start, end=start + size, first_line=line)
                start, line = start + size + skip_line(stream), line + 1
                continue
            yield Span(path=str(path), start=start, end=end, first_line=line)
            start, line = end, line + _line_ends(view[:size])


def _line_ends(data: memoryview) -> int:
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == 0x0A))  # a fifth of what `count` takes
