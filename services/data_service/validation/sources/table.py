"""Rows of CSV and TSV files with a header.

Every field is text, also what looks like a number or a formula; only lists of turns are read from their JSON text.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

import orjson

from services.data_service.validation import file_reasons, reasons
from services.data_service.validation.blocks import Packet
from services.data_service.validation.encoding import guess
from services.data_service.validation.excerpt import excerpt, excerpt_bytes
from services.data_service.validation.findings import place, whole_line
from services.data_service.validation.lines import BOM
from services.data_service.validation.parser_words import said_of_csv
from services.data_service.validation.sources.cells import Cells
from services.data_service.validation.sources.packing import Packing

_EVIDENCE_BYTES = 1 << 20
"""So much of a file is looked at for characters of UTF-8."""
_FORMULA = re.compile(r"=\S|[@+\-][A-Za-z]+\(")


class Table:
    """A table with a separator between its fields."""

    def __init__(self, path: Path, separator: str, columns: Mapping[str, str], max_row_bytes: int) -> None:
        self._path = path
        self._separator = separator
        self._cells = Cells(columns)
        self._max_row_bytes = max_row_bytes
        self._rows = Packing()
        self._header: list[str] = []
        self._spanning = False
        """Whether a row so far stands on several lines."""

    def blocks(self) -> Iterator[Packet]:
        """The rows in packets."""
        csv.field_size_limit(self._max_row_bytes)
        with self._path.open("rb") as stream:
            text = _Text(stream, self._max_row_bytes)
            for _ in self._read(text):
                if self._rows.full:
                    yield self._rows.take(text.offset)
            yield self._rows.take(text.offset)

    def _read(self, text: _Text) -> Iterator[None]:
        """Reads a row with each step."""
        records = csv.reader(text, delimiter=self._separator, strict=True)
        while True:
            text.begin()
            try:
                fields = next(records, None)
            except UnicodeDecodeError as error:
                not_utf8(self._rows, self._path, text.line + 1, text.offset, error)
                return
            except csv.Error as error:
                if not self._passed_over(error, text):
                    self._ends(error, text)
                    return
                yield
                continue
            if fields is None:
                return
            if not any(fields):  # a blank line
                continue
            if not self._header:
                self._header = fields
                if not self._is_header(fields):
                    return
            else:
                self._spanning |= len(text.record) > 1
                self._row(fields, text.record_line, text.record_offset)
                yield

    def _is_header(self, names: list[str]) -> bool:
        twice = [name for name in names if names.count(name) > 1]
        if all(name.strip() for name in names) and not twice:
            return True
        en, ja = (
            (f"{twice[0]!r} stands there twice", f"「{twice[0]}」が重複")
            if twice[:1] != [""] and twice
            else ("one is empty", "空の名前")
        )
        at = whole_line(1, 0, excerpt(self._separator.join(names)))
        self._rows.refuse(file_reasons.BAD_HEADER, at, "", counted=False, detail=en, detail_ja=ja)
        return False

    def _row(self, fields: list[str], line: int, offset: int) -> None:
        header = self._header
        if len(fields) != len(header):
            shown = self._separator.join(fields)
            at = whole_line(line, offset, excerpt(shown))
            self._rows.refuse(file_reasons.RAGGED_ROW, at, shown, found=len(fields), expected=len(header))
            return
        for name, value in zip(header, fields, strict=True):
            if _FORMULA.match(value):
                self._rows.note(file_reasons.FORMULA, whole_line(line, offset, excerpt(value), excerpt(name)))
        self._rows.add(orjson.dumps(self._cells.row(dict(zip(header, fields, strict=True)))), line, offset)

    def _passed_over(self, error: csv.Error, text: _Text) -> bool:
        """Refuses the line on which a quote is wrong, where the one behind it begins a row for certain."""
        if not self._header or not self._line_is_row(text):
            return False
        shown = text.record[0].decode().rstrip("\r\n")
        at = whole_line(text.record_line, text.record_offset, excerpt(shown))
        self._rows.refuse(file_reasons.MISPLACED_QUOTE, at, shown, **said_of_csv(error))
        text.back()
        return True

    def _line_is_row(self, text: _Text) -> bool:
        """Whether the record that broke is its first line alone.

        It is when that line is the file's last or its quotes come in pairs; and when every line that an open quote
        took has all columns by itself, in a file of which no row so far stood on several lines.
        """
        first, *taken = text.record
        if not taken:
            return text.ended or (first.endswith(b"\n") and first.count(b'"') % 2 == 0)
        return not self._spanning and len(self._header) > 1 and all(map(self._has_all_columns, text.record))

    def _has_all_columns(self, data: bytes) -> bool:
        separators = len(self._header) - 1
        if not data.endswith(b"\n") and len(data) > self._max_row_bytes:
            return False
        if data.count(self._separator.encode()) == separators:
            return True
        try:
            return len(next(csv.reader([data.decode()], delimiter=self._separator, strict=True))) == separators + 1
        except csv.Error:
            return False

    def _ends(self, error: csv.Error, text: _Text) -> None:
        at = whole_line(text.record_line, text.record_offset, excerpt_bytes(text.record[-1], "utf-8"))
        if "field larger" in str(error):
            self._rows.refuse(reasons.LINE_TOO_LONG, at, "", counted=False, limit_bytes=self._max_row_bytes)
        else:
            self._rows.refuse(file_reasons.UNCLOSED_QUOTE, at, "", counted=False, **said_of_csv(error))


class _Text:
    """The lines of a file for the csv module, and how far it has got."""

    def __init__(self, stream: IO[bytes], max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._given_back: list[bytes] = []
        self.line = 0
        self.offset = 0
        self.ended = False
        self.begin()

    def begin(self) -> None:
        """A record begins."""
        self.record: list[bytes] = []
        self.record_line, self.record_offset = self.line + 1, self.offset

    def back(self) -> None:
        """Gives back the lines of the record, but the first."""
        first, *taken = self.record
        self.ended = False
        self._given_back += reversed(taken)
        self.line = self.record_line - 1 + first.endswith(b"\n")
        self.offset = self.record_offset + len(first)

    def __iter__(self) -> _Text:
        return self

    def __next__(self) -> str:
        data = self._given_back.pop() if self._given_back else self._stream.readline(self._max_bytes + 2)
        if not data:
            self.ended = True
            raise StopIteration
        text = (data.removeprefix(BOM) if self.offset == 0 else data).decode()
        self.record.append(data)
        self.offset += len(data)
        self.line += data.endswith(b"\n")
        return text


def not_utf8(
    rows: Packing,
    path: Path,
    line: int,
    offset: int,
    error: UnicodeDecodeError,
    *,
    before: str = "",
    column: int = 1,
) -> None:
    """Notes that a file cannot be read further, since its text is not UTF-8 from a byte on.

    `before` is what was read before the bytes of the error, and begins at `line`, `offset` and `column`.
    """
    rest_of_line = error.object[error.start :].partition(b"\n")[0]
    encoding = guess(error.object) or guess(rest_of_line)
    shown = excerpt_bytes(error.object[error.start :], encoding.codec if encoding else "ascii")
    good = before + error.object[: error.start].decode()
    at = replace(place(line, offset, good, len(good), column=column), excerpt=shown)
    if encoding is None:
        rows.refuse(reasons.BROKEN_UTF8, at, "", counted=False)
        return
    with path.open("rb") as stream:
        evidence = stream.read(min(offset, _EVIDENCE_BYTES)).removeprefix(BOM)
    reason = reasons.NOT_UTF8 if evidence.isascii() and good.isascii() else file_reasons.FOREIGN_END
    rows.refuse(reason, at, "", counted=False, **encoding.values)
