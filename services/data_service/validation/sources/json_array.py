"""Rows of one JSON array, taken out of it one by one."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from services.data_service.validation import reasons
from services.data_service.validation.blocks import Packet
from services.data_service.validation.excerpt import excerpt
from services.data_service.validation.findings import place, whole_line
from services.data_service.validation.sources.packing import Packing
from services.data_service.validation.sources.table import not_utf8

_READ_BYTES = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
# Whatever it accepts beyond the standard is found when the row is checked.
_DECODER = json.JSONDecoder()


class JsonArray:
    """A file that is one array."""

    def __init__(self, path: Path, max_row_bytes: int) -> None:
        self._path = path
        self._max_row_bytes = max_row_bytes
        self._rows = Packing()
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._line, self._offset = 1, 0
        self._read_bytes = 0
        self._ended = False

    def blocks(self) -> Iterator[Packet]:
        """The rows in packets."""
        with self._path.open("rb") as stream:
            try:
                for _ in self._elements(stream):
                    if self._rows.full:
                        yield self._rows.take(self._offset)
            except UnicodeDecodeError as error:
                not_utf8(self._rows, self._line + self._text.count("\n", self._at), self._read_bytes, error)
            yield self._rows.take(self._offset)

    def _elements(self, stream: IO[bytes]) -> Iterator[None]:
        """Takes a row with each step."""
        self._next(stream)
        self._skip(1)  # the bracket, which the sniffing has seen
        mark = self._next(stream)
        while mark != "]":
            if not self._element(stream):
                return
            yield
            mark = self._next(stream)
            if mark == ",":
                self._skip(1)
                mark = self._next(stream).replace("]", ",")  # nothing between them is no row
            elif mark != "]":
                self._broken("',' or ']' expected")
                return
        self._skip(1)
        if self._next(stream):
            at = place(self._line, self._offset, self._text[self._at : self._at + 200], 0)
            self._rows.refuse(reasons.AFTER_ARRAY, at, "", counted=False)

    def _element(self, stream: IO[bytes]) -> bool:
        """One row; False when it cannot be read, nor anything behind it."""
        while True:
            try:
                _, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if isinstance(error, RecursionError):
                    at = whole_line(self._line, self._offset, excerpt(self._text, self._at))
                    self._rows.refuse(reasons.NESTED_TOO_DEEPLY, at, "", counted=False)
                    return False
                if len(self._text) - self._at > self._max_row_bytes:
                    self._too_long()
                    return False
                if not self._more(stream):
                    self._broken(str(error).split(":")[0])
                    return False
                continue
            if end < len(self._text) or not self._more(stream):
                break
        data = self._text[self._at : end].encode()
        self._rows.add(data, self._line, self._offset)
        self._skip(end - self._at, len(data))
        return True

    def _next(self, stream: IO[bytes]) -> str:
        """Passes over white space; the character there, "" at the end of the file."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._skip((found.end() if found else self._at) - self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(stream):
                return ""

    def _skip(self, characters: int, size: int | None = None) -> None:
        """Goes on; `size` in bytes where it is another number."""
        self._line += self._text.count("\n", self._at, self._at + characters)
        self._at += characters
        self._offset += characters if size is None else size

    def _more(self, stream: IO[bytes]) -> bool:
        """Reads on; False at the end of the file."""
        if self._ended:
            return False
        data = stream.read(_READ_BYTES)
        if not self._read_bytes and data.startswith(codecs.BOM_UTF8):
            self._offset = len(codecs.BOM_UTF8)
        self._text = self._text[self._at :] + self._decoder.decode(data, final=not data)
        self._at = 0
        self._read_bytes += len(data)
        self._ended = not data
        return not self._ended

    def _too_long(self) -> None:
        at = whole_line(self._line, self._offset, excerpt(self._text, self._at))
        self._rows.refuse(reasons.LINE_TOO_LONG, at, "", counted=False, limit_bytes=self._max_row_bytes)

    def _broken(self, detail: str) -> None:
        at = whole_line(self._line, self._offset, excerpt(self._text, self._at))
        self._rows.refuse(reasons.JSON_BROKEN, at, "", counted=False, detail=detail)
