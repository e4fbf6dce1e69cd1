"""Blocks whose lines are of a few kinds that differ in nothing but their texts: checked at once, not line by line.

Most large files are like that. What is checked of such a line is that its strings are where those of its kind are, that
between them it has the same bytes, and that its texts say something. Where any line may be of another kind, nothing is
said of the block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from services.data_service.domain import TrainOn
from services.data_service.validation.blocks import Numbers
from services.data_service.validation.quick_rows import Contents, QuickRows
from services.data_service.validation.rules import Rules
from services.data_service.validation.skeleton import Skeleton, Skeletons
from services.data_service.validation.spans import Spans, split_at_markers
from services.data_service.validation.string_marks import StringMarks, begins_with, mark_strings
from services.text.rows import Form

_MAX_KINDS = 24
Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class AlikeLines:
    """The lines of such a block."""

    written: list[bytes]
    """Their canonical form, as plain values."""
    starts: Numbers
    """[rows], where each line begins in the block."""
    longest: int
    """Bytes of the longest line."""
    lengths: Numbers
    """[rows], characters of the examples."""
    unused: list[tuple[tuple[str, ...], int]]
    """Fields that hold something but are not used, and in how many rows."""
    _said: list[tuple[Numbers, Spans]]

    def texts(self, chosen: Mask) -> list[Contents]:
        """The texts of the examples of some rows, in any order."""
        return [texts for rows, spans in self._said for texts in spans.texts(chosen[rows])]


class AlikeReader:
    """Reads such blocks under the rules of their file."""

    def __init__(self, rules: Rules) -> None:
        # Markers are looked for in all texts at once; for a row's form they make no difference.
        plain = rules if rules.markers is None else replace(rules, markers=None, train_on=TrainOn.ALL)
        self._rules = rules
        self._skeletons = Skeletons(QuickRows(plain))

    def read(self, block: bytes) -> AlikeLines | None:
        """The lines of a block, each ended by LF but perhaps the last; None when any may need another look."""
        marks = mark_strings(block)
        if marks is None or not block:
            return None
        kinds = _Kinds(marks)
        written: list[bytes] = [b""] * len(kinds.left)
        lengths = np.zeros(len(written), np.int64)
        said: list[tuple[Numbers, Spans]] = []
        unused: list[tuple[tuple[str, ...], int]] = []
        while len(kinds.left):
            skeleton = self._skeletons.of(*kinds.first()) if len(said) < _MAX_KINDS else None
            if skeleton is None:
                return None
            rows, opened = kinds.take(skeleton)
            texts = Spans(marks, marks.quotes[opened] + 1, marks.quotes[opened + 1])
            spans = self._said(texts, skeleton)
            if spans is None:
                return None
            values = skeleton.write(texts.columns(skeleton.order).sizes(), texts.slices())
            if len(rows) == len(written):
                written = values
            else:
                for row, value in zip(rows.tolist(), values, strict=True):
                    written[row] = value
            lengths[rows] = spans.characters() + skeleton.joining
            said.append((rows, spans))
            unused.append((skeleton.unused, len(rows)))
        longest = int((marks.line_starts[1:] - marks.line_starts[:-1]).max()) - 1
        return AlikeLines(written, marks.line_starts[:-1], longest, lengths, unused, said)

    def _said(self, texts: Spans, skeleton: Skeleton) -> Spans | None:
        """The texts of the examples; None where one of them may be wrong."""
        said: Spans | None = texts.columns(skeleton.said)
        if self._rules.form is Form.TEXT and self._rules.markers is not None:
            said = split_at_markers(texts.columns(skeleton.said), self._rules.markers)
        if said is None or said.any_blank():
            return None
        return None if self._rules.form is Form.PREFERENCE and said.any_same(1, 2) else said


class _Kinds:
    """The lines that belong to no kind yet."""

    def __init__(self, marks: StringMarks) -> None:
        self._block = marks.block
        self._values = marks.values
        self._starts = marks.line_starts[:-1]
        self._ends = marks.line_starts[1:] - 1
        self._quotes = marks.quotes
        self._first_quotes = np.searchsorted(self._quotes, self._starts)
        self._counts = np.append(self._first_quotes[1:], len(self._quotes)) - self._first_quotes
        self.left = np.arange(len(self._starts))

    def first(self) -> tuple[bytes, list[int]]:
        """The first of them, and where its quotes are."""
        row = self.left[0]
        start, first = self._starts[row], self._first_quotes[row]
        quotes = self._quotes[first : first + self._counts[row]] - start
        return self._block[start : self._ends[row]], quotes.tolist()

    def take(self, skeleton: Skeleton) -> tuple[Numbers, Numbers]:
        """Those that have the skeleton, and [rows, texts] which quote opens each text of theirs."""
        rows = self.left[self._counts[self.left] == skeleton.quotes]
        opened = self._first_quotes[rows, None] + np.array(skeleton.openings)
        begins = np.column_stack((self._starts[rows], self._quotes[opened + 1]))
        ends = np.column_stack((self._quotes[opened] + 1, self._ends[rows]))
        sizes = np.array([len(literal) for literal in skeleton.literals])
        filled = (self._quotes[opened + 1] - self._quotes[opened] > 1).all(axis=1)
        chosen = np.flatnonzero((ends - begins == sizes).all(axis=1) & filled)
        for number, literal in enumerate(skeleton.literals):
            chosen = chosen[begins_with(self._values, begins[chosen, number], literal)]
        rows = rows[chosen]
        self.left = self.left[:0] if len(rows) == len(self.left) else np.setdiff1d(self.left, rows, assume_unique=True)
        return rows, opened[chosen]
