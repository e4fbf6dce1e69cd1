"""UTF-8 looked at as bytes, many at once, without making text of it: whether it is, and how many characters it has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.data_service.validation.blocks import Numbers

_TWO, _THREE, _FOUR = 0xC0, 0xE0, 0xF0
"""The least bytes that begin characters of so many."""
_SECONDS = {
    0xC0: (0, 0),  # these would be longer than need be
    0xC1: (0, 0),
    0xE0: (0xA0, 0xC0),
    0xED: (0x80, 0xA0),  # surrogates are no characters
    0xF0: (0x90, 0xC0),
    0xF4: (0x80, 0x90),  # the last is U+10FFFF
    **dict.fromkeys(range(0xF5, 0x100), (0, 0)),
}
"""From where to where the second byte may be, for those first bytes that do not take every one."""


class Continuations:
    """Which bytes go on with a character that began before."""

    def __init__(self, values: npt.NDArray[np.uint8]) -> None:
        self._values = values
        self._words = _packed(values.view(np.int8) < -0x40)
        counts = np.bitwise_count(self._words)
        self._before = np.cumsum(counts, dtype=np.int64) - counts

    def well_placed(self) -> bool:
        """Whether every character has as many bytes as its first one says; which those may be is not looked at."""
        wanted = np.zeros_like(self._words)
        largest = self._values.max(initial=0)
        for distance, least in enumerate((_TWO, _THREE, _FOUR), 1):
            if least <= largest:
                firsts = _packed(self._values >= least)
                wanted |= firsts << np.uint64(distance)
                wanted[1:] |= firsts[:-1] >> np.uint64(64 - distance)
        return bool((wanted == self._words).all())

    def between(self, starts: Numbers, ends: Numbers) -> Numbers:
        """How many there are from places to others."""
        counts: Numbers = self._up_to(ends) - self._up_to(starts)
        return counts

    def _up_to(self, places: Numbers) -> Numbers:
        words, bits = places >> 6, (places & 63).astype(np.uint64)
        part = self._words[words] & ((np.uint64(1) << bits) - np.uint64(1))
        counts: Numbers = self._before[words] + np.bitwise_count(part)
        return counts


def _packed(marks: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """64 marks a word, the first in the lowest bit; the last word has none."""
    packed = np.packbits(marks, bitorder="little")
    words = np.zeros(len(packed) // 8 + 2, "<u8")
    words.view(np.uint8)[: len(packed)] = packed
    return words


def seconds_fit(block: bytes, values: npt.NDArray[np.uint8]) -> bool:
    """Whether the first bytes of characters are followed by bytes that they may be followed by."""
    largest = values.max(initial=0)
    for first, (least, end) in _SECONDS.items():
        if first <= largest and first in block:
            found = seconds(values, first)
            if not ((least <= found) & (found < end)).all():
                return False
    return True


def seconds(values: npt.NDArray[np.uint8], first: int) -> npt.NDArray[np.uint8]:
    """The bytes that follow some first byte."""
    followers: npt.NDArray[np.uint8] = values[np.flatnonzero(values[:-1] == first) + 1]
    return followers
