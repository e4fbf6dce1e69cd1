"""JSON records from lines: one object a line, and what is there instead when it is not so."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from services.data_service.report import Example
from services.data_service.validation import reasons
from services.data_service.validation.encoding import guess
from services.data_service.validation.excerpt import excerpt, excerpt_bytes
from services.data_service.validation.findings import Findings, place, whole_line
from services.data_service.validation.json_shapes import ARRAY, PRETTY, SEVERAL, Shape, wrapped
from services.data_service.validation.lines import Line
from services.data_service.validation.parser_words import said_of_json

# How far a value that goes on over several lines is followed. Each line reads it anew from its beginning.
_MAX_JOINED_LINES = 200
_MAX_JOINED_CHARACTERS = 1 << 16
_TYPES = {
    list: ("an array", "配列"),
    str: ("a string", "文字列"),
    int: ("a number", "数値"),
    float: ("a number", "数値"),
    bool: ("a boolean", "真偽値"),
}
_SPACE = " \t\r\n"  # what JSON calls white space


class NonFinite(ValueError):
    """A number that JSON does not know, or that is too large."""


@dataclass(frozen=True, slots=True)
class Record:
    """One object with its place."""

    line: int
    offset: int
    text: str
    value: dict[str, Any]
    column: int
    """From 1, where it begins in its line; 0 where it is the line."""


def _refuse(name: str) -> float:
    raise NonFinite(name)


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
"""JSON as the standard has it: no NaN, no Infinity, no number that overflows."""


def repeated_field(text: str) -> str | None:
    """A name that an object in the JSON has more than once; None where there is none."""
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            found.append(next(name for name in names if names.count(name) > 1))

    json.loads(text, object_pairs_hook=look)
    return found[0] if found else None


class Records:
    """Turns lines into records and notes every line that gives none. `utf8`: most of the file is known to be UTF-8."""

    def __init__(self, findings: Findings, max_line_bytes: int, *, utf8: bool = False) -> None:
        self._findings = findings
        self._max_line_bytes = max_line_bytes
        self._utf8 = utf8
        self.taken: list[Line] = []
        """Lines that belonged to the last one too: a value that was written over several."""
        self.ended = False
        """The file turned out to be one long document: what follows are no rows."""

    def read(self, line: Line, following: Iterator[Line]) -> Record | None:
        """The record of a line; None, and a finding, when there is none. `following` is read where a value goes on."""
        self.taken = []
        text = self._text(line)
        return None if text is None else self._record(line, text, following)

    def _text(self, line: Line) -> str | None:
        if line.too_long:
            self._too_long(line)
            return None
        try:
            return line.data.decode()
        except UnicodeDecodeError as error:
            self._not_utf8(line, error.start)
            return None

    def _too_long(self, line: Line) -> None:
        at = whole_line(line.number, line.offset, excerpt_bytes(line.data, "utf-8"), column=line.column)
        shape = ARRAY if line.data.lstrip().startswith(b"[") else wrapped(line.data.decode(errors="replace"))
        if shape is not None:
            self._not_one_per_line(at, shape)
        else:
            self._findings.add(reasons.LINE_TOO_LONG, at, limit_bytes=self._max_line_bytes)

    def _not_utf8(self, line: Line, start: int) -> None:
        encoding = guess(line.data)
        if encoding is None:
            before, shown = line.data[:start].decode(), excerpt_bytes(line.data[start:], "ascii")
        else:
            # The byte at fault may lie within a character of that encoding: the column is that character's.
            before = line.data[:start].decode(encoding.codec, errors="ignore")
            shown = excerpt(line.data.decode(encoding.codec), len(before))
        at = Example(line=line.number, column=len(before) + 1, byte_offset=line.offset + start, field="", excerpt=shown)
        if encoding is None:
            self._findings.add(reasons.BROKEN_UTF8, at)
        else:
            self._findings.add(reasons.FOREIGN_LINE if self._utf8 else reasons.NOT_UTF8, at, **encoding.values)

    def _record(self, line: Line, text: str, following: Iterator[Line]) -> Record | None:
        try:
            value = DECODER.decode(text)
            repeated = repeated_field(text)
        except json.JSONDecodeError as error:
            self._no_json(line, text, error, following)
        except NonFinite as error:
            at = _place(line, text, max(text.find(str(error)), 0))
            self._findings.add(reasons.NON_FINITE_NUMBER, at, value=str(error)[:40])
        except RecursionError:
            self._findings.add(reasons.NESTED_TOO_DEEPLY, _place(line, text))
        except ValueError as error:  # an integer of more digits than Python reads
            self._findings.add(reasons.INVALID_JSON, _place(line, text), **said_of_json(error))
        else:
            return self._object(line, text, value, repeated)
        return None

    def _object(self, line: Line, text: str, value: Any, repeated: str | None) -> Record | None:
        at = _place(line, text)
        if isinstance(value, dict):
            if repeated is None:
                return Record(line.number, line.offset, text, value, line.column)
            field = excerpt(repeated)
            self._findings.add(reasons.DUPLICATE_FIELD, replace(at, field=field), field=field)
            return None
        if isinstance(value, list) and value and isinstance(value[0], dict):
            self._not_one_per_line(at, ARRAY)
        else:
            kind, kind_ja = _TYPES.get(type(value), ("null", "null"))
            self._findings.add(reasons.NOT_AN_OBJECT, at, type=kind, type_ja=kind_ja)
        return None

    def _no_json(self, line: Line, text: str, error: json.JSONDecodeError, following: Iterator[Line]) -> None:
        at = _place(line, text, min(error.pos, len(text) - 1))
        if _next_begins(text, error):
            self._not_one_per_line(at, SEVERAL)
        elif _is_cut(text, error) and (whole := self._joined(text, following)) is not None:
            shape = ARRAY if whole.lstrip(_SPACE)[0] == "[" else wrapped(whole) or PRETTY
            self._not_one_per_line(_place(line, text), shape)
        else:
            self._findings.add(reasons.INVALID_JSON, at, **said_of_json(error))

    def _not_one_per_line(self, at: Example, shape: Shape) -> None:
        self._findings.add(shape.reason, at, fatal=self.ended, **shape.values)

    def _joined(self, text: str, following: Iterator[Line]) -> str | None:
        """Reads on while the value that began in `text` goes on, and gives it back if it is JSON.

        The lines of it are taken; where the value breaks, none is.
        """
        taken: list[Line] = []
        joined = text
        for line in following:
            taken.append(line)
            joined += "\n" + line.data.decode(errors="replace")
            too_long = len(taken) >= _MAX_JOINED_LINES or len(joined) > _MAX_JOINED_CHARACTERS
            error = None if too_long else _state(joined)
            # Where another value begins on its last line, no line is left to go on with.
            self.ended = too_long or (error is not None and _next_begins(joined, error))
            if self.ended or error is None:
                self.taken = taken
                return joined
            if not _is_cut(joined, error):
                break
        return None


def _place(line: Line, text: str, position: int | None = None) -> Example:
    return place(line.number, line.offset, text, position, column=line.column)


def _is_cut(text: str, error: json.JSONDecodeError) -> bool:
    """Whether the text is right as far as it goes."""
    return error.pos >= len(text.rstrip(_SPACE)) and text.lstrip(_SPACE)[:1] in ("{", "[")


def _next_begins(text: str, error: json.JSONDecodeError) -> bool:
    """Whether the text is right, but for another value that follows on the same line."""
    return error.msg == "Extra data" and text[error.pos] in "{["


def _state(text: str) -> json.JSONDecodeError | None:
    """Where the text stops to be JSON; None when it is whole."""
    try:
        DECODER.decode(text)
    except json.JSONDecodeError as error:
        return error
    except (ValueError, RecursionError) as error:
        return json.JSONDecodeError(str(error), text, 0)
    return None
