"""Texts of many rows, where they lie in a block of JSON lines, looked at without being taken out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson

from services.data_service.validation.blocks import Numbers
from services.data_service.validation.quick_rows import Contents
from services.data_service.validation.string_marks import BACKSLASH, StringMarks, begins_with, escaped
from services.text.markers import Markers

_OPENS_BLANK = np.isin(
    np.arange(256), [BACKSLASH, *{chr(point).encode()[0] for point in range(0x3000) if chr(point).isspace()}]
)
"""Whether a text whose first byte is this may be nothing but white space."""
_WIDE_SPACE = "\u3000".encode()
"""Begins like most of Japanese."""


@dataclass(frozen=True)
class Spans:
    """[rows, texts], where the texts of rows begin and end in their block."""

    marks: StringMarks
    starts: Numbers
    ends: Numbers

    def columns(self, numbers: Sequence[int]) -> Spans:
        """Some of the texts of every row."""
        return Spans(self.marks, self.starts[:, numbers], self.ends[:, numbers])

    def sizes(self) -> Numbers:
        """[rows], how long the texts are together in bytes."""
        sums: Numbers = (self.ends - self.starts).sum(axis=1)
        return sums

    def slices(self) -> list[list[bytes]]:
        """Of each text, what it is in every row."""
        block = self.marks.block
        columns = zip(self.starts.T.tolist(), self.ends.T.tolist(), strict=True)
        return [[block[start:end] for start, end in zip(*column, strict=True)] for column in columns]

    def characters(self) -> Numbers:
        """[rows], how long the texts are together; an escape is one character."""
        escapes = np.searchsorted(self.marks.escapes, self.ends) - np.searchsorted(self.marks.escapes, self.starts)
        within = self.marks.continuations.between(self.starts, self.ends)
        sums: Numbers = (self.ends - self.starts - escapes - within).sum(axis=1)
        return sums

    def any_blank(self) -> bool:
        """Whether any text is empty or nothing but white space."""
        if not (self.starts < self.ends).all():
            return True
        values = self.marks.values
        doubtful = _OPENS_BLANK[values[self.starts]] | self._begins(_WIDE_SPACE)
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

    def _begins(self, text: bytes) -> npt.NDArray[np.bool_]:
        """[rows, texts], which begin with some bytes."""
        begins = np.ones(self.starts.shape, np.bool_)
        for place, byte in enumerate(text):
            begins &= self.marks.values[self.starts + place] == byte  # a quote and a brace follow each text
        return begins

    def _text(self, start: int, end: int) -> str:
        text = self.marks.block[start:end]
        return text.decode() if b"\\" not in text else str(orjson.loads(b'"%b"' % text))


def split_at_markers(texts: Spans, markers: Markers) -> Spans | None:
    """Prompts and completions of rows of one text each; None where a text lacks the markers."""
    opening, middle = (orjson.dumps(text)[1:-1] for text in (markers.prompt, markers.completion))
    starts, ends = texts.starts[:, 0] + len(opening), texts.ends[:, 0]
    if not middle or (starts + len(middle) > ends).any():
        return None
    if opening and not begins_with(texts.marks.values, texts.starts[:, 0], opening).all():
        return None
    places = _places(texts.marks, middle)
    following = np.searchsorted(places, starts)
    if (following == len(places)).any():
        return None
    at = places[following]
    if (at + len(middle) > ends).any():
        return None
    return Spans(texts.marks, np.column_stack((starts, at + len(middle))), np.column_stack((at, ends)))


def _places(marks: StringMarks, wanted: bytes) -> Numbers:
    """Where some bytes follow each other, as characters of the text and not as half of an escape."""
    values = marks.values
    if wanted[0] == BACKSLASH:
        places = marks.escapes[: np.searchsorted(marks.escapes, len(values) - len(wanted), "right")]
        return places[begins_with(values, places, wanted)]
    places = np.flatnonzero(values[: len(values) - len(wanted) + 1] == wanted[0])
    places = places[begins_with(values, places, wanted)]
    return places[~escaped(places, marks.escapes)]
