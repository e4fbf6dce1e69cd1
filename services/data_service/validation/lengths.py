"""Lengths of rows: counted as they come, told as statistics, in bounded memory."""

from __future__ import annotations

from array import array
from collections import Counter

from services.data_service.domain import Statistics

_EXACT = 1 << 16
_COARSE = 1 << 10
BOUNDS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 1 << 20)
"""Upper bounds of the histogram's buckets, in characters. No row is longer than the last."""


class Lengths:
    """How many rows have which length in characters: exact up to 65,535, by thousands (1,024) above."""

    def __init__(self) -> None:
        self._exact = array("Q", bytes(8 * _EXACT))
        self._coarse: Counter[int] = Counter()
        self._rows = 0
        self._characters = 0
        self._min = 0
        self._max = 0

    def add(self, characters: int) -> None:
        """Counts one row."""
        self._min = min(self._min, characters) if self._rows else characters
        self._max = max(self._max, characters)
        self._rows += 1
        self._characters += characters
        if characters < _EXACT:
            self._exact[characters] += 1
        else:
            self._coarse[characters // _COARSE * _COARSE] += 1

    def statistics(self, duplicate_rows: int) -> Statistics:
        """Everything counted so far."""
        counts = [0] * len(BOUNDS)
        for length, count in self._ascending():
            counts[next((i for i, bound in enumerate(BOUNDS) if length < bound), -1)] += count
        return Statistics(
            rows=self._rows,
            characters=self._characters,
            min_characters=self._min,
            median_characters=self._median(),
            max_characters=self._max,
            duplicate_rows=duplicate_rows,
            histogram_counts=counts,
            histogram_bounds=list(BOUNDS),
        )

    def _ascending(self) -> list[tuple[int, int]]:
        exact = [(length, count) for length, count in enumerate(self._exact) if count]
        return exact + sorted(self._coarse.items())

    def _median(self) -> int:
        """The lower median."""
        left = (self._rows + 1) // 2
        for length, count in self._ascending():
            left -= count
            if left <= 0:
                return length
        return 0
