"""Where the strings of a block of JSON lines begin and end, found for all lines at once."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from services.data_service.validation.blocks import Numbers
from services.data_service.validation.scripts import code_points

CodePoints: TypeAlias = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
BACKSLASH = ord("\\")
_QUOTE, _LINE_FEED, _RETURN, _SPACE, _DELETE, _REPLACEMENT = map(ord, '"\n\r \x7f\ufffd')
_C1 = 0xA0 - _DELETE  # controls from U+007F to U+009F
_ESCAPED = np.isin(np.arange(128), list(b'"\\nrt'))
"""What follows the backslash in escapes that the canonical form has too."""


class StringMarks(NamedTuple):
    """Places in a block of lines, in bytes and in characters."""

    text: str
    codes: CodePoints
    """Its code points."""
    line_bytes: Numbers
    """[lines + 1], where each line begins; the last is where one more would."""
    quote_bytes: Numbers
    """[quotes], where there are quotes that begin or end a string."""
    quotes: Numbers
    """The same in characters."""
    escapes: Numbers
    """[escapes], where there is a backslash that begins an escape, in characters."""


def mark_strings(block: bytes) -> StringMarks | None:
    """The places of strings in lines of UTF-8.

    None where that is not UTF-8, where a control character or U+FFFD is anywhere, or an escape that the canonical form
    writes otherwise: such lines need another look.
    """
    try:
        text = block.decode()
    except UnicodeDecodeError:
        return None
    codes = code_points(text)
    feeds = np.flatnonzero(codes == _LINE_FEED)
    returns = np.count_nonzero(codes[feeds[feeds > 0] - 1] == _RETURN)
    if np.count_nonzero(codes < _SPACE) != len(feeds) + returns or _has_suspects(codes):
        return None
    escapes = _escapes(codes)
    if escapes is None:
        return None
    values = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(codes == _QUOTE)
    quote_bytes = np.flatnonzero(values == _QUOTE)
    free = ~escaped(quotes, escapes)
    return StringMarks(
        text=text,
        codes=codes,
        line_bytes=_line_starts(values),
        quote_bytes=quote_bytes[free],
        quotes=quotes[free],
        escapes=escapes,
    )


def escaped(places: Numbers, escapes: Numbers) -> npt.NDArray[np.bool_]:
    """Which places have an escape's second character."""
    if not len(escapes):
        return np.zeros(len(places), np.bool_)
    before = escapes[np.searchsorted(escapes, places - 1).clip(max=len(escapes) - 1)]
    same: npt.NDArray[np.bool_] = before == places - 1
    return same


def _has_suspects(codes: CodePoints) -> bool:
    return bool(((codes - codes.dtype.type(_DELETE)) < _C1).any() or (codes == _REPLACEMENT).any())


def _escapes(codes: CodePoints) -> Numbers | None:
    """Where an escape begins: every other one of backslashes in a row; None where one is not of those we know."""
    found = np.flatnonzero(codes == BACKSLASH)
    if not len(found):
        return found
    numbers = np.arange(len(found))
    opens = np.diff(found, prepend=-2) != 1
    escapes = found[(numbers - np.maximum.accumulate(np.where(opens, numbers, 0))) % 2 == 0]
    if escapes[-1] + 1 == len(codes):
        return None
    following = codes[escapes + 1]
    return escapes if (following < len(_ESCAPED)).all() and _ESCAPED[following].all() else None


def _line_starts(values: npt.NDArray[np.uint8]) -> Numbers:
    """Where lines begin, and where one more would if the last of them ended with a line feed."""
    starts = np.concatenate(([0], np.flatnonzero(values == _LINE_FEED) + 1)).astype(np.int64)
    return starts if starts[-1] == len(values) else np.append(starts, len(values) + 1)
