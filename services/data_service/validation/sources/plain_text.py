"""Rows of plain text files: paragraphs, with blank lines between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import orjson

from services.data_service.validation import reasons
from services.data_service.validation.blocks import Packet
from services.data_service.validation.excerpt import excerpt
from services.data_service.validation.findings import whole_line
from services.data_service.validation.lines import BOM
from services.data_service.validation.sources.packing import Packing
from services.data_service.validation.sources.table import not_utf8


class PlainText:
    """A text file."""

    def __init__(self, path: Path, max_row_bytes: int) -> None:
        self._path = path
        self._max_row_bytes = max_row_bytes
        self._rows = Packing()
        self._lines: list[str] = []
        self._line = self._offset = self._bytes = 0

    def blocks(self) -> Iterator[Packet]:
        """The rows in packets."""
        with self._path.open("rb") as stream:
            yield from self._read(stream)
            self._end()
            yield self._rows.take(stream.tell())

    def _read(self, stream: IO[bytes]) -> Iterator[Packet]:
        number = offset = 0
        while data := stream.readline(self._max_row_bytes + 2):
            try:
                text = (data.removeprefix(BOM) if offset == 0 else data).decode()
            except UnicodeDecodeError as error:
                if len(data) < self._max_row_bytes:  # else the line was cut within a character
                    not_utf8(self._rows, self._path, number + 1, offset, error)
                    self._lines.clear()
                    return
                text = data[: error.start].decode()
            if text.strip():
                self._more(text.rstrip("\r\n"), number + 1, offset)
            else:
                self._end()
            number += data.endswith(b"\n")
            offset += len(data)
            if self._rows.full:
                yield self._rows.take(offset)

    def _more(self, text: str, line: int, offset: int) -> None:
        if not self._lines and not self._bytes:
            self._line, self._offset = line, offset
        self._bytes += len(text)
        if self._bytes <= self._max_row_bytes:  # of more only the beginning is kept
            self._lines.append(text)

    def _end(self) -> None:
        text = "\n".join(self._lines)
        if self._bytes > self._max_row_bytes:
            at = whole_line(self._line, self._offset, excerpt(text))
            self._rows.refuse(reasons.LINE_TOO_LONG, at, text, limit_bytes=self._max_row_bytes)
        elif text:
            self._rows.add(orjson.dumps({"text": text}), self._line, self._offset)
        self._lines, self._bytes = [], 0
