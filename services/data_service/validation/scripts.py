"""How much text rows have and in which scripts, counted for many rows at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SCRIPTS = ("hiragana", "katakana", "han", "latin", "digit", "other")
LANGUAGES = ("ja", "zh", "en", "other")
_HIRAGANA, _KATAKANA, _HAN, _LATIN, _DIGIT, _OTHER, _SUSPECT = (1 << bit for bit in range(7))
_SUSPECTS = ((0x00, 0x09), (0x0B, 0x0D), (0x0E, 0x20), (0x7F, 0xA0), (0xFFFD, 0xFFFE))
_RANGES = (
    (_HIRAGANA, ((0x3041, 0x30A0),)),
    (_KATAKANA, ((0x30A1, 0x30FB), (0x30FC, 0x3100), (0x31F0, 0x3200), (0xFF66, 0xFFA0))),
    (_HAN, ((0x3005, 0x3008), (0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x323B0))),
    (_LATIN, ((0x41, 0x5B), (0x61, 0x7B), (0xC0, 0x250), (0x1E00, 0x1F00), (0xFF21, 0xFF3B), (0xFF41, 0xFF5B))),
)


class Measures(NamedTuple):
    """Text of some rows."""

    lengths: npt.NDArray[np.int64]
    """[rows], in characters."""
    scripts: npt.NDArray[np.int64]
    """[6], characters of each of SCRIPTS; white space and punctuation are in none."""
    languages: npt.NDArray[np.int64]
    """[4], rows of each of LANGUAGES."""
    suspect: npt.NDArray[np.bool_]
    """[rows], whether there are control characters or U+FFFD."""


def added(parts: Sequence[Measures]) -> Measures:
    """The measures of rows that follow each other; there is at least one part."""
    return Measures(
        np.concatenate([part.lengths for part in parts]),
        np.sum([part.scripts for part in parts], axis=0),
        np.sum([part.languages for part in parts], axis=0),
        np.concatenate([part.suspect for part in parts]),
    )


def measure(rows: Sequence[tuple[str, ...]]) -> Measures:
    """Measures rows, each of one or more texts that are not empty."""
    if not rows:
        none = np.zeros(0, np.int64)
        return Measures(none, np.zeros(6, np.int64), np.zeros(4, np.int64), none.astype(np.bool_))
    texts = list(chain.from_iterable(rows))
    pieces = np.fromiter(map(len, texts), np.int64, len(texts))
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    lengths = np.add.reduceat(pieces, np.cumsum(counts) - counts)
    kinds = np.take(_TABLE, _code_points("".join(texts)), mode="clip")
    of_rows = np.bitwise_or.reduceat(kinds, np.cumsum(lengths) - lengths)
    scripts = np.array([np.count_nonzero(kinds == 1 << bit) for bit in range(6)])
    languages = np.bincount(_LANGUAGE_OF[of_rows], minlength=4)
    return Measures(lengths, scripts, languages, (of_rows & _SUSPECT) != 0)


def _code_points(text: str) -> npt.NDArray[np.uint16] | npt.NDArray[np.uint32]:
    narrow = text.encode("utf-16-le")
    if len(narrow) == 2 * len(text):
        return np.frombuffer(narrow, np.dtype("<u2"))
    return np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))


def _table() -> npt.NDArray[np.uint8]:
    """The script of every code point; of letters beyond the first plane only of Han."""
    table = np.zeros(0x110000, np.uint8)
    for point in range(0x10000):
        category = unicodedata.category(chr(point))
        if category == "Nd":
            table[point] = _DIGIT
        elif category[0] in "LMN":
            table[point] = _OTHER
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


_TABLE = _table()
_LANGUAGE_OF = _languages()
