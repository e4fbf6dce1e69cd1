"""Rows of CSV and TSV files with a header. Every field is text, also what looks like a number or a formula."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import orjson

from services.data_service.validation import reasons
from services.data_service.validation.blocks import Packet
from services.data_service.validation.encoding import guess
from services.data_service.validation.excerpt import excerpt, excerpt_bytes
from services.data_service.validation.findings import whole_line
from services.data_service.validation.lines import BOM
from services.data_service.validation.sources.packing import Packing

_FORMULA = re.compile(r"=\S|[@+\-][A-Za-z]+\(")


class Table:
    """A table with a separator between its fields."""

    def __init__(self, path: Path, separator: str, max_row_bytes: int) -> None:
        self._path = path
        self._separator = separator
        self._max_row_bytes = max_row_bytes
        self._rows = Packing()

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
        header: list[str] | None = None
        while True:
            line, offset = text.line + 1, text.offset
            try:
                fields = next(records, None)
            except (csv.Error, UnicodeDecodeError) as error:
                self._broken(error, line, offset, text)
                return
            if fields is None:
                return
            if not any(fields):  # a blank line
                continue
            if header is None:
                header = fields
                if not self._header(header):
                    return
            else:
                self._row(header, fields, line, offset)
                yield

    def _header(self, names: list[str]) -> bool:
        twice = [name for name in names if names.count(name) > 1]
        if all(name.strip() for name in names) and not twice:
            return True
        en, ja = (
            (f"{twice[0]!r} stands there twice", f"「{twice[0]}」が重複")
            if twice[:1] != [""] and twice
            else ("one is empty", "空の名前")
        )
        at = whole_line(1, 0, excerpt(self._separator.join(names)))
        self._rows.refuse(reasons.BAD_HEADER, at, "", counted=False, detail=en, detail_ja=ja)
        return False

    def _row(self, header: list[str], fields: list[str], line: int, offset: int) -> None:
        if len(fields) != len(header):
            shown = self._separator.join(fields)
            at = whole_line(line, offset, excerpt(shown))
            self._rows.refuse(reasons.RAGGED_ROW, at, shown, found=len(fields), expected=len(header))
            return
        for name, value in zip(header, fields, strict=True):
            if _FORMULA.match(value):
                self._rows.note(reasons.FORMULA, whole_line(line, offset, excerpt(value), excerpt(name)))
        self._rows.add(orjson.dumps(dict(zip(header, fields, strict=True))), line, offset)

    def _broken(self, error: csv.Error | UnicodeDecodeError, line: int, offset: int, text: _Text) -> None:
        if isinstance(error, UnicodeDecodeError):
            not_utf8(self._rows, text.line + 1, text.offset, error)
        elif "field larger" in str(error):
            at = whole_line(line, offset, excerpt_bytes(text.last, "utf-8"))
            self._rows.refuse(reasons.LINE_TOO_LONG, at, "", counted=False, limit_bytes=self._max_row_bytes)
        else:
            at = whole_line(line, offset, excerpt_bytes(text.last, "utf-8"))
            self._rows.refuse(reasons.UNCLOSED_QUOTE, at, "", counted=False, detail=str(error))


class _Text:
    """The lines of a file for the csv module, and how far it has got."""

    def __init__(self, stream: IO[bytes], max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self.line = 0
        self.offset = 0
        self.last = b""

    def __iter__(self) -> _Text:
        return self

    def __next__(self) -> str:
        data = self._stream.readline(self._max_bytes + 2)
        if not data:
            raise StopIteration
        self.last = data
        text = (data.removeprefix(BOM) if self.offset == 0 else data).decode()
        self.offset += len(data)
        self.line += data.endswith(b"\n")
        return text


def not_utf8(rows: Packing, line: int, offset: int, error: UnicodeDecodeError) -> None:
    """Notes that a file cannot be read further: its text is of another encoding."""
    encoding = guess(error.object)
    shown = excerpt_bytes(error.object[error.start :], encoding.codec if encoding else "ascii")
    at = whole_line(line, offset + error.start, shown)
    if encoding is None:
        rows.refuse(reasons.BROKEN_UTF8, at, "", counted=False)
    else:
        rows.refuse(reasons.NOT_UTF8, at, "", counted=False, encoding=encoding.name, option=encoding.option)
