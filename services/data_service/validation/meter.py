"""How far a pass over files is, told now and then."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TypeAlias

from services.data_service.child import Progress, Tell

_EVERY_S = 0.5

Gauge: TypeAlias = Callable[[int], None]
"""Is told how many bytes of a stage are done."""


class Meter:
    """Turns bytes of the stages that a file goes through, such as unpacking, into bytes of all files.

    How many stages come is not known before: each takes half of what is left of its file, the last takes all of it.
    """

    def __init__(self, tell: Tell, rows: Callable[[], int]) -> None:
        """`rows`: how many were seen so far."""
        self._tell = tell
        self._rows = rows
        self._tell_at = monotonic() + _EVERY_S
        self._start = self._left = 0

    def begin(self, start: int, size: int) -> None:
        """A file of `size` bytes follows, with `start` bytes before it."""
        self._start, self._left = start, size

    def stage(self, total: int, *, last: bool = False) -> Gauge:
        """A stage of the file that goes over `total` bytes."""
        start, size = self._start, self._left if last else self._left // 2
        self._start, self._left = start + size, self._left - size

        def told(done: int) -> None:
            if monotonic() > self._tell_at:
                self._tell(Progress(start + size * done // max(total, 1), self._rows()))
                self._tell_at = monotonic() + _EVERY_S

        return told
