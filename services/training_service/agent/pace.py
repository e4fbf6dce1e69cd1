"""How fast a trainer moves, so that one that stands still is noticed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_PATIENCE = 10
_REMEMBERED = 20


@dataclass(frozen=True, kw_only=True)
class Stall:
    """A silence that is longer than expected."""

    step: int
    silent_s: float
    expected_s: float


class Pace:
    """Remembers how long the last moves of a phase took. A move is a new step, or any other progress."""

    def __init__(self, *, least_s: float, now: float) -> None:
        self._least_s = least_s
        self._moves: deque[float] = deque(maxlen=_REMEMBERED)
        self._at = now
        self._phase = ""
        self._step = 0
        self._told = False

    @property
    def expected_s(self) -> float:
        """How long a move may take: ten times the slowest of the last, but never less than `least_s`."""
        return max(self._least_s, _PATIENCE * max(self._moves, default=0.0))

    def moved(self, phase: str, step: int, now: float) -> None:
        """Something moved."""
        if phase != self._phase:
            self._moves.clear()
        elif not self._told:  # how long a stall lasted says nothing about what is usual
            self._moves.append(now - self._at)
        self._phase, self._at, self._step, self._told = phase, now, step, False

    def stall(self, now: float) -> Stall | None:
        """The silence, once, when it has become longer than expected."""
        silent_s = now - self._at
        if self._told or silent_s < self.expected_s:
            return None
        self._told = True
        return Stall(step=self._step, silent_s=silent_s, expected_s=self.expected_s)
