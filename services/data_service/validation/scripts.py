"""How much text rows have and in which scripts, counted for many rows at once; of large files in a sample."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from services.data_service.validation.blocks import Fingerprints

SCRIPTS = ("hiragana", "katakana", "han", "latin", "digit", "other")
LANGUAGES = ("ja", "zh", "en", "other")
_EVERY = ((0, 1), (1 << 14, 16), (1 << 18, 128))
"""From which line on one row of how many is looked at."""
_HIRAGANA, _KATAKANA, _HAN, _LATIN, _DIGIT, _OTHER, _SUSPECT = (1 << bit for bit in range(7))
_SUSPECTS = ((0x00, 0x09), (0x0B, 0x0D), (0x0E, 0x20), (0x7F, 0xA0), (0xFFFD, 0xFFFE))
_RANGES = (
    (_HIRAGANA, ((0x3041, 0x30A0),)),
    (_KATAKANA, ((0x30A1, 0x30FB), (0x30FC, 0x3100), (0x31F0, 0x3200), (0xFF66, 0xFFA0))),
    (_HAN, ((0x3005, 0x3008), (0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x323B0))),
    (_LATIN, ((0x41, 0x5B), (0x61, 0x7B), (0xC0, 0x250), (0x1E00, 0x1F00), (0xFF21, 0xFF3B), (0xFF41, 0xFF5B))),
)


class Texts(Protocol):
    """Rows, each of one or more texts that are not empty."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """[rows], in characters."""

    def texts(self, chosen: npt.NDArray[np.bool_]) -> list[tuple[str, ...]]:
        """The texts of some rows, in any order."""


class TextList:
    """Rows at hand."""

    def __init__(self, rows: Sequence[tuple[str, ...]]) -> None:
        self._rows = rows

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """[rows], in characters."""
        return _lengths(self._rows)

    def texts(self, chosen: npt.NDArray[np.bool_]) -> list[tuple[str, ...]]:
        """The texts of some rows."""
        return [self._rows[index] for index in np.flatnonzero(chosen).tolist()]


class Measures(NamedTuple):
    """Text of some rows."""

    lengths: npt.NDArray[np.int64]
    """[rows], in characters."""
    scripts: npt.NDArray[np.int64]
    """[6], characters of each of SCRIPTS; white space and punctuation are in none."""
    languages: npt.NDArray[np.int64]
    """[4], rows of each of LANGUAGES."""


def measure(rows: Texts, lines: npt.NDArray[np.int64], fingerprints: Fingerprints) -> Measures:
    """Measures rows.

    In the first lines of a file scripts are counted in every row, further on in one of some, which counts for as many.
    Which one is told by its fingerprint, so that it matters neither how the rows are ordered nor how they come here.

    Args:
        rows: their texts.
        lines: [rows], their lines in the file, from 1.
        fingerprints: [rows], of their JSON.
    """
    stages = np.searchsorted([start for start, _ in _EVERY], lines) - 1
    scripts, languages = np.zeros(len(SCRIPTS), np.int64), np.zeros(len(LANGUAGES), np.int64)
    for stage, (_, weight) in enumerate(_EVERY):
        chosen = (stages == stage) & (fingerprints % weight == 0)
        if chosen.any():
            picked = rows.texts(chosen)
            kinds, of_rows = _kinds(picked)
            scripts += weight * np.array([np.count_nonzero(kinds == 1 << bit) for bit in range(len(SCRIPTS))])
            languages += weight * np.bincount(_LANGUAGE_OF[of_rows], minlength=len(LANGUAGES))
    return Measures(rows.lengths, scripts, languages)


def suspects(rows: Sequence[tuple[str, ...]]) -> list[bool]:
    """Of each row whether there are control characters or U+FFFD."""
    suspect: list[bool] = ((_kinds(rows)[1] & _SUSPECT) != 0).tolist() if rows else []
    return suspect


def _kinds(rows: Sequence[tuple[str, ...]]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Of every character its script, and of every row all of them."""
    lengths = _lengths(rows)
    kinds = np.take(_table(), code_points("".join(chain.from_iterable(rows))), mode="clip")
    return kinds, np.bitwise_or.reduceat(kinds, np.cumsum(lengths) - lengths)


def _lengths(rows: Sequence[tuple[str, ...]]) -> npt.NDArray[np.int64]:
    if not rows:
        return np.zeros(0, np.int64)
    pieces = np.fromiter(map(len, chain.from_iterable(rows)), np.int64)
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    return np.add.reduceat(pieces, np.cumsum(counts) - counts)


def code_points(text: str) -> npt.NDArray[np.uint16] | npt.NDArray[np.uint32]:
    narrow = text.encode("utf-16-le")
    if len(narrow) == 2 * len(text):
        return np.frombuffer(narrow, np.dtype("<u2"))
    return np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))


@cache
def _table() -> npt.NDArray[np.uint8]:
    """The script of every code point; of letters beyond the first plane only of Han."""
    table = np.zeros(0x110000, np.uint8)
    categories = "".join(map(unicodedata.category, map(chr, range(0x10000)))).encode()
    table[:0x10000][np.isin(np.frombuffer(categories[::2], np.uint8), list(b"LMN"))] = _OTHER
    table[:0x10000][np.frombuffer(categories, "S2") == b"Nd"] = _DIGIT
    for script, ranges in _RANGES:
        for start, end in ranges:
            table[start:end][table[start:end] == _OTHER] = script
    table[0x20000:0x323B0] = _HAN
    for start, end in _SUSPECTS:
        table[start:end] = _SUSPECT
    return table


def _languages() -> npt.NDArray[np.uint8]:
    """Kana make a row Japanese, Han without them Chinese, Latin letters alone English."""
    kinds = np.arange(128)
    found = np.full(128, 3, np.uint8)
    found[(kinds & _LATIN) != 0] = 2
    found[(kinds & _HAN) != 0] = 1
    found[(kinds & (_HIRAGANA | _KATAKANA)) != 0] = 0
    return found


_LANGUAGE_OF = _languages()
