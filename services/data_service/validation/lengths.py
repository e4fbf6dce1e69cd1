"""Lengths of rows: counted as they come, told as statistics, in bounded memory."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from services.data_service.domain import Statistics
from services.data_service.validation.scripts import LANGUAGES, SCRIPTS, Measures

_EXACT = 1 << 16
_COARSE = 1 << 10
BOUNDS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 1 << 20)
"""Upper bounds of the histogram's buckets, in characters. No row is longer than the last."""


class Lengths:
    """How many rows have which length in characters: exact up to 65,535, by thousands (1,024) above; and scripts."""

    def __init__(self) -> None:
        self._exact = np.zeros(_EXACT, np.int64)
        self._coarse: Counter[int] = Counter()
        self._scripts = np.zeros(len(SCRIPTS), np.int64)
        self._languages = np.zeros(len(LANGUAGES), np.int64)
        self._rows = 0
        self._characters = 0
        self._min = 0
        self._max = 0

    def add(self, measures: Measures) -> None:
        """Counts rows."""
        lengths = measures.lengths
        if not len(lengths):
            return
        shortest = int(lengths.min())
        self._min = min(self._min, shortest) if self._rows else shortest
        self._max = max(self._max, int(lengths.max()))
        self._rows += len(lengths)
        self._characters += int(lengths.sum())
        exact = lengths < _EXACT
        counts = np.bincount(lengths[exact])
        self._exact[: len(counts)] += counts
        self._coarse.update((lengths[~exact] // _COARSE * _COARSE).tolist())
        self._scripts += measures.scripts
        self._languages += measures.languages

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
            script_shares=_shares(SCRIPTS, self._scripts),
            language_shares=_shares(LANGUAGES, self._languages),
        )

    def _ascending(self) -> list[tuple[int, int]]:
        found = np.flatnonzero(self._exact)
        return [*zip(found.tolist(), self._exact[found].tolist(), strict=True), *sorted(self._coarse.items())]

    def _median(self) -> int:
        """The lower median."""
        left = (self._rows + 1) // 2
        for length, count in self._ascending():
            left -= count
            if left <= 0:
                return length
        return 0


def _shares(names: tuple[str, ...], counts: npt.NDArray[np.int64]) -> dict[str, float]:
    total = max(int(counts.sum()), 1)
    return {name: round(count / total, 6) for name, count in zip(names, counts.tolist(), strict=True)}
