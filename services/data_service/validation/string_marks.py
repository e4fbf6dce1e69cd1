"""Where the strings of a block of JSON lines begin and end, found for all lines at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.data_service.validation.blocks import Numbers
from services.data_service.validation.utf8 import Continuations, seconds, seconds_fit

BACKSLASH = ord("\\")
_QUOTE, _LINE_FEED, _DELETE = map(ord, '"\n\x7f')
_C1, _C1_END = 0xC2, 0xA0
"""Begins the controls from U+0080 to U+009F, and other characters, whose second byte is this at least."""
_REPLACEMENT = "\ufffd".encode()
_ESCAPED = np.isin(np.arange(256), list(b'"\\nrt'))
"""What follows the backslash in escapes that the canonical form has too."""


class StringMarks(NamedTuple):
    """Places in a block of lines."""

    block: bytes
    values: npt.NDArray[np.uint8]
    """Its bytes."""
    line_starts: Numbers
    """[lines + 1], where each line begins; the last is where one more would."""
    quotes: Numbers
    """[quotes], where there are quotes that begin or end a string."""
    escapes: Numbers
    """[escapes], where there is a backslash that begins an escape."""
    continuations: Continuations


def mark_strings(block: bytes) -> StringMarks | None:
    """The places of strings in lines of UTF-8.

    None where that is not UTF-8, where a control character or U+FFFD is anywhere, or an escape that the canonical form
    writes otherwise: such lines need another look.
    """
    values = np.frombuffer(block, np.uint8)
    marks = np.flatnonzero((values == _LINE_FEED) | (values == _QUOTE) | (values == BACKSLASH))
    feeds, quotes, backslashes = (marks[values[marks] == byte] for byte in (_LINE_FEED, _QUOTE, BACKSLASH))
    continuations = Continuations(values)
    if not continuations.well_placed() or not seconds_fit(block, values):
        return None
    if _has_controls(block, values, len(feeds)) or _has(values, _REPLACEMENT):
        return None
    escapes = _escapes(values, backslashes)
    if escapes is None:
        return None
    if (values[quotes - 1] == BACKSLASH).any():
        quotes = quotes[~escaped(quotes, escapes)]
    return StringMarks(
        block=block,
        values=values,
        line_starts=_line_starts(len(values), feeds),
        quotes=quotes,
        escapes=escapes,
        continuations=continuations,
    )


def escaped(places: Numbers, escapes: Numbers) -> npt.NDArray[np.bool_]:
    """Which places have an escape's second character."""
    if not len(escapes):
        return np.zeros(len(places), np.bool_)
    before = escapes[np.searchsorted(escapes, places - 1).clip(max=len(escapes) - 1)]
    same: npt.NDArray[np.bool_] = before == places - 1
    return same


def begins_with(values: npt.NDArray[np.uint8], places: Numbers, text: bytes) -> npt.NDArray[np.bool_]:
    """[places], at which of them a text without NUL stands. It has to fit in at each."""
    windows = np.ndarray(len(values) - len(text) + 1, f"S{len(text)}", values, strides=(1,))
    found: npt.NDArray[np.bool_] = windows[places] == text
    return found


def _has_controls(block: bytes, values: npt.NDArray[np.uint8], feeds: int) -> bool:
    """Whether there is a control character, besides so many LF, and CR before LF."""
    others = np.count_nonzero(values < ord(" ")) - feeds
    if (others and others > block.count(b"\r\n")) or _DELETE in block:
        return True
    return _C1 in block and bool((seconds(values, _C1) < _C1_END).any())


def _has(values: npt.NDArray[np.uint8], text: bytes) -> bool:
    """Whether a text is anywhere; where its first byte is frequent, that takes a third of what `in` takes."""
    found = values[: max(0, len(values) - len(text) + 1)] == text[0]
    for ahead, byte in enumerate(text[1:], 1):
        found &= values[ahead : ahead + len(found)] == byte
    return bool(found.any())


def _escapes(values: npt.NDArray[np.uint8], backslashes: Numbers) -> Numbers | None:
    """Where an escape begins: every other one of backslashes in a row; None where one is not of those we know."""
    if not len(backslashes):
        return backslashes
    numbers = np.arange(len(backslashes))
    opens = np.append(True, backslashes[1:] - backslashes[:-1] != 1)
    escapes = backslashes[(numbers - np.maximum.accumulate(np.where(opens, numbers, 0))) % 2 == 0]
    if escapes[-1] + 1 == len(values):
        return None
    return escapes if _ESCAPED[values[escapes + 1]].all() else None


def _line_starts(size: int, feeds: Numbers) -> Numbers:
    """Where lines begin, and where one more would if the last of them ended with a line feed."""
    starts = np.concatenate(([0], feeds + 1)).astype(np.int64)
    return starts if starts[-1] == size else np.append(starts, size + 1)
