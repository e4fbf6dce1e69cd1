"""Texts of many rows, where they lie in a block of JSON lines, looked at without being taken out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson
from numpy.lib.stride_tricks import sliding_window_view

from services.data_service.validation.blocks import Numbers
from services.data_service.validation.quick_rows import Contents
from services.data_service.validation.string_marks import BACKSLASH, StringMarks, escaped
from services.text.markers import Markers

_BLANK_UP_TO = 0x3001
_OPENS_BLANK = np.array([chr(point).isspace() or point == BACKSLASH for point in range(_BLANK_UP_TO + 1)])
"""Whether a text that begins with this character may be nothing but white space; as the last one, so are others."""


@dataclass(frozen=True)
class Spans:
    """[rows, texts], where the texts of rows begin and end, in characters of their block."""

    marks: StringMarks
    starts: Numbers
    ends: Numbers

    def columns(self, numbers: Sequence[int]) -> Spans:
        """Some of the texts of every row."""
        return Spans(self.marks, self.starts[:, numbers], self.ends[:, numbers])

    def characters(self) -> Numbers:
        """[rows], how long the texts are together; an escape is one character."""
        escapes = np.searchsorted(self.marks.escapes, self.ends) - np.searchsorted(self.marks.escapes, self.starts)
        sums: Numbers = (self.ends - self.starts - escapes).sum(axis=1)
        return sums

    def any_blank(self) -> bool:
        """Whether any text is empty or nothing but white space."""
        if not (self.starts < self.ends).all():
            return True
        doubtful = np.take(_OPENS_BLANK, self.marks.codes[self.starts], mode="clip")
        places = zip(self.starts[doubtful].tolist(), self.ends[doubtful].tolist(), strict=True)
        return any(self._text(start, end).isspace() for start, end in places)

    def any_same(self, one: int, other: int) -> bool:
        """Whether two texts of any row are the same."""
        rows = np.flatnonzero(np.ptp((self.ends - self.starts)[:, [one, other]], axis=1) == 0)
        texts = self.columns([one, other]).texts(rows)
        return any(first == second for first, second in texts)

    def texts(self, rows: npt.NDArray[np.bool_] | Numbers) -> list[Contents]:
        """The texts of some rows."""
        places = zip(self.starts[rows].tolist(), self.ends[rows].tolist(), strict=True)
        return [tuple(map(self._text, starts, ends)) for starts, ends in places]

    def _text(self, start: int, end: int) -> str:
        text = self.marks.text[start:end]
        return text if "\\" not in text else str(orjson.loads(f'"{text}"'))


def split_at_markers(texts: Spans, markers: Markers) -> Spans | None:
    """Prompts and completions of rows of one text each; None where a text lacks the markers."""
    opening, middle = _written(markers.prompt), _written(markers.completion)
    codes = texts.marks.codes
    starts, ends = texts.starts[:, 0] + len(opening), texts.ends[:, 0]
    if not len(middle) or (starts + len(middle) > ends).any():
        return None
    if len(opening) and not (sliding_window_view(codes, len(opening))[texts.starts[:, 0]] == opening).all():
        return None
    places = _places(texts.marks, middle)
    following = np.searchsorted(places, starts)
    if (following == len(places)).any():
        return None
    at = places[following]
    if (at + len(middle) > ends).any():
        return None
    return Spans(texts.marks, np.column_stack((starts, at + len(middle))), np.column_stack((at, ends)))


def _written(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text in JSON."""
    return np.frombuffer(orjson.dumps(text).decode()[1:-1].encode("utf-32-le"), "<u4")


def _places(marks: StringMarks, wanted: npt.NDArray[np.uint32]) -> Numbers:
    """Where some characters follow each other, as characters of the text and not as half of an escape."""
    codes = marks.codes
    places = np.flatnonzero(codes[: len(codes) - len(wanted) + 1] == wanted[0])
    for number, code in enumerate(wanted[1:].tolist(), 1):
        places = places[codes[places + number] == code]
    return places[~escaped(places, marks.escapes)]
