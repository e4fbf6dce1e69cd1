"""Rows out of a plain text file: questions with their answers where markers tell them apart, else pieces of the text."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from services.data_service.preparation.chunking import spans
from services.data_service.recipe import Chunking

_PAIRS = (("質問", "回答"), ("指示", "応答"), ("入力", "出力"), ("Q", "A"))
_MARKER = r"^(?:#{{2,4}} ?)?{}[ \t　]*[:：]"
_SAMPLE_LINES = 20_000
_SAMPLE_CHARACTERS = 4 << 20
_HELD_PIECES = 64
"""So much of the text is looked at together, in longest pieces."""


class MarkedText:
    """Question by question; `lines` has the line of the text at which each begins."""

    def __init__(self, marker: re.Pattern[str]) -> None:
        self._marker = marker
        self.lines = array("q")

    def rows(self, lines: Iterable[str]) -> Iterator[str]:
        """The text of each question with its answer. What stands before the first belongs to it.

        Some families put the same sentence before every question; it then goes with the question that follows.
        """
        opening: list[str] = []
        record: list[str] = []
        begun = 1
        for number, line in enumerate(lines, start=1):
            if self._marker.match(line):
                if any(self._marker.match(one) for one in record):
                    record, carried = _without_ending(record, opening)
                    yield self._row(record, begun)
                    record, begun = carried, number - len(carried)
                else:
                    opening = list(record)
            record.append(line)
        if "".join(record).strip():
            yield self._row(record, begun)

    def _row(self, record: list[str], line: int) -> str:
        self.lines.append(line)
        return "".join(record).strip()


def marked(lines: Iterable[str]) -> MarkedText | None:
    """How to read a text with these lines; None where it has no known pair of markers."""
    sample = list(_sample(lines))
    counts = []
    for prompt, completion in _PAIRS:
        patterns = [re.compile(_MARKER.format(word)) for word in (prompt, completion)]
        counts.append(min(sum(1 for line in sample if pattern.match(line)) for pattern in patterns))
    most = max(counts)
    if not most:
        return None
    return MarkedText(re.compile(_MARKER.format(_PAIRS[counts.index(most)][0])))


def pieces(lines: Iterable[str], how: Chunking) -> Iterator[str]:
    """A text in pieces, cut after paragraphs, sentences or lines; it need not fit into memory."""
    held = ""
    for line in lines:
        held += line
        if len(held) > _HELD_PIECES * how.max_characters:
            *done, (rest, _) = spans(held, how)
            yield from _filled(held, done)
            held = held[rest:]
    yield from _filled(held, spans(held, how))


def read_lines(path: Path, codec: str = "") -> Iterator[str]:
    """Lines of a text; without a codec in UTF-8, or in UTF-16 where a byte order mark says so.

    Raises UnicodeDecodeError.
    """
    with path.open("rb") as file:
        marked_as_utf16 = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
    with path.open(encoding=codec or ("utf-16" if marked_as_utf16 else "utf-8-sig")) as text:
        yield from text


def _sample(lines: Iterable[str]) -> Iterator[str]:
    characters = 0
    for line in islice(lines, _SAMPLE_LINES):
        yield line
        characters += len(line)
        if characters > _SAMPLE_CHARACTERS:
            return


def _filled(text: str, places: list[tuple[int, int]]) -> Iterator[str]:
    for start, end in places:
        if piece := text[start:end].strip():
            yield piece


def _without_ending(record: list[str], ending: list[str]) -> tuple[list[str], list[str]]:
    """The record without these last lines, and they; without white space around them they must be the same."""
    if not "".join(ending).strip():
        return record, []
    at = max(0, len(record) - len(ending))
    last = record[at:]
    return (record[:at], last) if "".join(last).strip() == "".join(ending).strip() else (record, [])
