"""Rows of one JSON array, or of objects one after another, taken out of the file one by one."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from services.data_service.report import Example
from services.data_service.validation import file_reasons, reasons
from services.data_service.validation.blocks import Packet
from services.data_service.validation.excerpt import excerpt
from services.data_service.validation.findings import place, whole_line
from services.data_service.validation.json_shapes import wrapped
from services.data_service.validation.parser_words import said_of_json
from services.data_service.validation.sources.brackets import Unmatched, element_end, line_end
from services.data_service.validation.sources.packing import Packing
from services.data_service.validation.sources.table import not_utf8

_READ_BYTES = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
# Whatever it accepts beyond the standard is found when the row is checked.
_DECODER = json.JSONDecoder()


class JsonArray:
    """A file that is one array, or values with white space between them, as pretty printers leave them."""

    def __init__(self, path: Path, max_row_bytes: int) -> None:
        self._path = path
        self._max_row_bytes = max_row_bytes
        self._rows = Packing()
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._line, self._column, self._offset = 1, 1, 0
        self._ended = False
        self._is_array = True
        self._passed = ""
        """The white space before what comes next."""

    def blocks(self) -> Iterator[Packet]:
        """The rows in packets."""
        with self._path.open("rb") as stream:
            try:
                for _ in self._elements(stream):
                    if self._rows.full:
                        yield self._rows.take(self._offset)
            except UnicodeDecodeError as error:
                before = self._text[self._at :]
                not_utf8(self._rows, self._path, self._line, self._offset, error, before=before, column=self._column)
            yield self._rows.take(self._offset)

    def _elements(self, stream: IO[bytes]) -> Iterator[None]:
        """Takes a row with each step."""
        self._is_array = self._next(stream) == "["
        if not self._is_array:
            while self._next(stream) and self._element(stream):
                yield
            return
        self._skip(1)
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
                error = json.JSONDecodeError("Expecting ',' delimiter", self._text, self._at)
                self._rows.refuse(file_reasons.ARRAY_BROKEN, self._here(), "", counted=False, **said_of_json(error))
                return
        self._skip(1)
        if self._next(stream):
            self._rows.refuse(file_reasons.AFTER_ARRAY, self._here(), "", counted=False)

    def _element(self, stream: IO[bytes]) -> bool:
        """One row; False when it cannot be read, nor anything behind it."""
        indent = self._passed.rpartition("\n")[2] if "\n" in self._passed else None
        while True:
            try:
                _, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                broken_end = self._broken_end(indent)
                if broken_end is not None:
                    self._pass_over(error, broken_end)
                    return True
                if len(self._text) - self._at > self._max_row_bytes or not self._more(stream):
                    self._ends(error)
                    return False
                continue
            if end < len(self._text) or not self._more(stream):
                break
        data = self._text[self._at : end].encode()
        self._rows.add(data, self._line, self._offset, self._column)
        self._skip(end - self._at, len(data))
        return True

    def _broken_end(self, indent: str | None) -> int | None:
        """Where the broken element ends for certain; None when what was read of the file does not tell.

        It ends where its brackets are closed; where they are not matched, before the next line that begins as its own.
        """
        if not self._is_array:
            return None
        try:
            return element_end(self._text, self._at)
        except Unmatched:
            return None if indent is None else line_end(self._text, self._at, indent)

    def _pass_over(self, error: ValueError | RecursionError, end: int) -> None:
        text = self._text[self._at : end]
        at, begins = self._fault(error, text), (self._line, self._column)
        if isinstance(error, RecursionError):
            self._rows.refuse(reasons.NESTED_TOO_DEEPLY, at, text)
        else:
            self._rows.refuse(file_reasons.ELEMENT_BROKEN, at, text, begins=begins, **said_of_json(error))
        self._skip(len(text), len(text.encode()))

    def _next(self, stream: IO[bytes]) -> str:
        """Passes over white space; the character there, "" at the end of the file."""
        self._passed = ""
        while True:
            found = _SPACE.match(self._text, self._at)
            end = found.end() if found else self._at
            self._passed += self._text[self._at : end]
            self._skip(end - self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(stream):
                return ""

    def _skip(self, characters: int, size: int | None = None) -> None:
        """Goes on; `size` in bytes where it is another number."""
        end = self._at + characters
        if breaks := self._text.count("\n", self._at, end):
            self._line += breaks
            self._column = end - self._text.rfind("\n", self._at, end)
        else:
            self._column += characters
        self._at = end
        self._offset += characters if size is None else size

    def _more(self, stream: IO[bytes]) -> bool:
        """Reads on; False at the end of the file."""
        if self._ended:
            return False
        data = stream.read(_READ_BYTES)
        if stream.tell() == len(data) and data.startswith(codecs.BOM_UTF8):
            self._offset = len(codecs.BOM_UTF8)
        text = self._decoder.decode(data, final=not data)
        self._ended = not data
        if not self._ended:  # else places in the text stay what they are
            self._text, self._at = self._text[self._at :] + text, 0
        return not self._ended

    def _ends(self, error: ValueError | RecursionError) -> None:
        """Notes why nothing can be read behind the element."""
        try:
            longer = element_end(self._text, self._at) is None and not self._ended
        except Unmatched:
            longer = False
        shape = wrapped(self._text[self._at :]) if longer and not self._is_array else None
        if shape is not None:
            self._rows.refuse(shape.reason, self._here(), "", counted=False, **shape.values)
        elif longer:
            self._rows.refuse(reasons.LINE_TOO_LONG, self._here(), "", counted=False, limit_bytes=self._max_row_bytes)
        else:
            at = self._fault(error, self._text[self._at :])
            self._rows.refuse(file_reasons.ARRAY_BROKEN, at, "", counted=False, **said_of_json(error))

    def _fault(self, error: ValueError | RecursionError, element: str) -> Example:
        """Where in the element the error is; where it begins, if the error does not say."""
        position = None
        if isinstance(error, json.JSONDecodeError):
            position = max(min(error.pos - self._at, len(element) - 1), 0)
        return place(self._line, self._offset, element, position, column=self._column)

    def _here(self) -> Example:
        return whole_line(self._line, self._offset, excerpt(self._text, self._at), column=self._column)
