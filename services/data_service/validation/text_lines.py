"""Blocks whose lines are all `{"text": "…"}` and differ in nothing but the text: read at once, not line by line.

Most large files are like that. Such lines are their own canonical form but for the space after the colon, so that
nothing has to be written anew. Where any line may be of another kind, nothing is said of the block.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import orjson

from services.data_service.validation.blocks import Numbers

_OPENINGS = (b'{"text": "', b'{"text":"')
_CANONICAL = b'{"text":"'
_CLOSING = b'"}'
_QUOTE, _BACKSLASH = b'"\\'
_SAME = np.isin(np.arange(256), list(b'"nrt'))
"""What follows the backslash in escapes that the canonical form has too."""


class TextLines(NamedTuple):
    """The lines of such a block."""

    texts: list[str]
    json: list[memoryview]
    """Their canonical form."""
    starts: Numbers
    """[rows], where each line begins in the block."""
    longest: int
    """Bytes of the longest line."""


def read_text_lines(block: bytes) -> TextLines | None:
    """The lines of a block, each ended by LF but perhaps the last; None when any may be of another kind."""
    opening = next((each for each in _OPENINGS if block.startswith(each)), None)
    end = len(block) - block.endswith(b"\n")
    if opening is None or not block.endswith(_CLOSING, 0, end):
        return None
    joined = block.replace(_CLOSING + b"\n" + opening, _CLOSING + b"," + _CANONICAL)
    last = len(joined) - (len(block) - end)
    array = b"".join((b"[", _CANONICAL, memoryview(joined)[len(opening) : last], b"]"))
    breaks = np.flatnonzero(np.frombuffer(block, np.uint8, end) == 0x0A)
    texts = _texts(array, len(breaks) + 1)
    if texts is None:
        return None
    starts = np.concatenate((np.zeros(1, np.int64), breaks + 1))
    lengths = np.diff(starts, append=end + 1) - 1
    ends = np.cumsum(lengths - (len(opening) - len(_CANONICAL)) + 1).tolist()  # in the array
    view = memoryview(array)
    json = [view[start + 1 : end] for start, end in zip([0, *ends], ends, strict=False)]
    return TextLines(texts, json, starts, int(lengths.max()))


def _texts(array: bytes, rows: int) -> list[str] | None:
    """The texts of the canonical array of as many rows; None when it may be another.

    Line ends that are left stood between other rows. Rows of one name and one string have at least four quotes; so
    when there are no more, none has the same name twice, and nothing lies between rows but what was put there.
    """
    values = np.frombuffer(array, np.uint8)
    if (values < 0x20).any():
        return None
    escapes = values[np.flatnonzero(values == _BACKSLASH) + 1]
    quotes = np.count_nonzero(values == _QUOTE) - np.count_nonzero(escapes == _QUOTE)
    if quotes != 4 * rows or not _SAME[escapes].all():  # "\\\\" is not among them: each backslash begins an escape
        return None
    try:
        found = orjson.loads(array)
    except ValueError:
        return None
    if len(found) != rows or set(map(type, found)) != {dict} or set(map(len, found)) != {1}:
        return None
    texts = [row.get("text") for row in found]
    return texts if set(map(type, texts)) == {str} else None
