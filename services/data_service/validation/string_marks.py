"""Where the strings of a block of JSON lines begin and end, found for all lines at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.data_service.validation.blocks import Numbers
from services.data_service.validation.utf8 import Continuations, take_second

BACKSLASH = ord("\\")
_QUOTE, _LINE_FEED, _RETURN, _DELETE = map(ord, '"\n\r\x7f')
_C1 = 0xC2
"""Begins the controls from U+0080 to U+009F, and other characters."""
_REPLACEMENT = "\ufffd".encode()
_ESCAPED = np.isin(np.arange(256), list(b'"\\nrt'))
"""What follows the backslash in escapes that the canonical form has too."""
_KNOWN = np.isin(np.arange(256), [*b' !"\\\n', _REPLACEMENT[0]])
"""Notable bytes that are harmless, or looked at by themselves."""


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
    continuations = Continuations(values)
    notable = _notable(values)
    found = values[notable]
    feeds, quotes, backslashes = (notable[found == byte] for byte in (_LINE_FEED, _QUOTE, BACKSLASH))
    if not continuations.well_placed() or not _are_harmless(values, notable[~_KNOWN[found]]):
        return None
    if _is_anywhere(values, notable[found == _REPLACEMENT[0]], _REPLACEMENT):
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


def _notable(values: npt.NDArray[np.uint8]) -> Numbers:
    """Where bytes are worth a look: a few among many. Made in place, since taking memory is most of the time else."""
    found, also = np.zeros(len(values), np.bool_), np.empty(len(values), np.bool_)
    for byte in (BACKSLASH, _DELETE, 0xE0):
        found |= np.equal(values, byte, out=also)
    moved = np.empty_like(values)
    for first, last in ((0xC0, _C1), (0xED, _QUOTE)):  # a range may go on from 0xFF to 0
        np.subtract(values, np.uint8(first), out=moved)
        found |= np.less_equal(moved, (last - first) % 256, out=also)
    return np.flatnonzero(found)


def _are_harmless(values: npt.NDArray[np.uint8], places: Numbers) -> bool:
    """Whether notable bytes begin characters that there are and are no controls, or are a CR before LF."""
    first, second = values[places], values[(places + 1).clip(max=len(values) - 1)]
    line_ends = (first == _RETURN) & (second == _LINE_FEED) & (places + 1 < len(values))
    if (((first < ord(" ")) & ~line_ends) | (first == _DELETE) | ((first == _C1) & (second < 0xA0))).any():
        return False
    lead = first > _DELETE
    return take_second(first[lead], second[lead])


def _is_anywhere(values: npt.NDArray[np.uint8], places: Numbers, text: bytes) -> bool:
    """Whether a text is at one of the places where its first byte is."""
    for ahead, byte in enumerate(text[1:], 1):
        places = places[values[(places + ahead).clip(max=len(values) - 1)] == byte]
    return len(places) > 0


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
