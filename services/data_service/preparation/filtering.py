"""Which rows stay, by length and by regular expressions that may not take long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf
from time import process_time

import regex

from services.data_service.recipe import RowFilter

ROW_SECONDS = 1.0
"""What all patterns together may take over one row: processor time, so that a busy machine drops no rows."""


class OutOfTime(Exception):
    """What all rows together may take is over: nothing can be said of this one."""


class _TooSlow(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Filter:
    """Judges rows by their texts. Patterns are named by their place in the recipe, such as "drop_patterns[0]"."""

    def __init__(self, how: RowFilter, *, row_seconds: float | None = None, until: float = inf) -> None:
        """`until`: when all rows have to be judged, in processor time, as patterns are timed."""
        self._least = how.min_characters
        self._most = how.max_characters
        self._drop = _compiled("drop_patterns", how.drop_patterns)
        self._keep = _compiled("keep_patterns", how.keep_patterns)
        self._row_seconds = ROW_SECONDS if row_seconds is None else row_seconds
        self._until = until
        self.late: Counter[str] = Counter()
        """Rows that took too long, by the pattern that did."""
        self.seconds = dict.fromkeys((*self._drop, *self._keep), 0.0)
        """What each pattern took so far."""

    def stays(self, texts: Sequence[str]) -> bool:
        """Whether a row with these texts stays; each text is searched by itself. A row that takes too long goes.

        Raises:
            OutOfTime: `until` is over.
        """
        length = sum(map(len, texts))
        if length < self._least or (self._most and length > self._most):
            return False
        try:
            return self._fits(texts)
        except _TooSlow as slow:
            if process_time() >= self._until:
                raise OutOfTime from None
            self.late[slow.name] += 1
            return False

    def pattern(self, name: str) -> str:
        """A pattern as it was written."""
        return str((self._drop | self._keep)[name].pattern)

    def _fits(self, texts: Sequence[str]) -> bool:
        if not self._drop and not self._keep:
            return True
        until = min(process_time() + self._row_seconds, self._until)
        if self._any_matches(self._drop, texts, until):
            return False
        return not self._keep or self._any_matches(self._keep, texts, until)

    def _any_matches(self, patterns: dict[str, regex.Pattern[str]], texts: Sequence[str], until: float) -> bool:
        """Raises _TooSlow when it cannot be said in time."""
        for name, pattern in patterns.items():
            begun = process_time()
            try:
                if any(_matches(pattern, text, until) for text in texts):
                    return True
            except TimeoutError:
                raise _TooSlow(name) from None
            finally:
                self.seconds[name] += process_time() - begun
        return False


def _compiled(name: str, patterns: Sequence[str]) -> dict[str, regex.Pattern[str]]:
    return {f"{name}[{number}]": regex.compile(pattern) for number, pattern in enumerate(patterns)}


def _matches(pattern: regex.Pattern[str], text: str, until: float) -> bool:
    left = until - process_time()
    if left <= 0:
        raise TimeoutError
    return pattern.search(text, timeout=left) is not None
