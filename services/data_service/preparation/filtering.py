"""Which rows stay, by length and by regular expressions that may not take long."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

import regex

from services.data_service.recipe import RowFilter

ROW_SECONDS = 1.0
"""What all patterns together may take over one row."""


class Filter:
    """Judges rows by their texts."""

    def __init__(self, how: RowFilter, row_seconds: float | None = None) -> None:
        self._least = how.min_characters
        self._most = how.max_characters
        self._drop = [regex.compile(pattern) for pattern in how.drop_patterns]
        self._keep = [regex.compile(pattern) for pattern in how.keep_patterns]
        self._row_seconds = ROW_SECONDS if row_seconds is None else row_seconds
        self.timed_out = 0
        """Rows that took too long."""

    def stays(self, texts: Sequence[str]) -> bool:
        """Whether a row with these texts stays; each text is searched by itself. A row that takes too long goes."""
        length = sum(map(len, texts))
        if length < self._least or (self._most and length > self._most):
            return False
        try:
            return self._fits(texts)
        except TimeoutError:
            self.timed_out += 1
            return False

    def _fits(self, texts: Sequence[str]) -> bool:
        if not self._drop and not self._keep:
            return True
        until = monotonic() + self._row_seconds
        if _any_matches(self._drop, texts, until):
            return False
        return not self._keep or _any_matches(self._keep, texts, until)


def _any_matches(patterns: list[regex.Pattern[str]], texts: Sequence[str], until: float) -> bool:
    """Raises TimeoutError when it cannot be said in time."""
    for pattern in patterns:
        for text in texts:
            left = until - monotonic()
            if left <= 0:
                raise TimeoutError
            if pattern.search(text, timeout=left):
                return True
    return False
