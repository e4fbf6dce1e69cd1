"""The SHA-256 of a stream, counted beside it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

_KEPT = 256


class RunningDigest:
    """Takes pieces in the order of the calls, in threads: hashlib lets other threads run meanwhile."""

    def __init__(self, state: _Hash | None = None) -> None:
        self._state = hashlib.sha256() if state is None else state.copy()
        self._turn = asyncio.Lock()  # first come, first served

    async def add(self, pieces: Sequence[bytes]) -> _Hash:
        """Counts the pieces and returns the state behind them."""
        async with self._turn:
            return await asyncio.to_thread(self._add, pieces)

    def _add(self, pieces: Sequence[bytes]) -> _Hash:
        for piece in pieces:
            self._state.update(piece)
        return self._state.copy()


class DigestStates:
    """States at committed offsets of the uploads that this process wrote last.

    They do not outlive the process: whoever finds none reads the bytes again.
    """

    def __init__(self) -> None:
        self._states: OrderedDict[str, tuple[int, _Hash]] = OrderedDict()

    def keep(self, uid: str, offset_bytes: int, state: _Hash) -> None:
        """Remembers the state at an offset of an upload."""
        self._states[uid] = (offset_bytes, state)
        self._states.move_to_end(uid)
        if len(self._states) > _KEPT:
            self._states.popitem(last=False)

    def at(self, uid: str, offset_bytes: int) -> _Hash | None:
        """The state at exactly this offset; a new one at the beginning."""
        if offset_bytes == 0:
            return hashlib.sha256()
        known, state = self._states.get(uid, (0, None))
        return state if known == offset_bytes else None

    def forget(self, uid: str) -> None:
        """Drops what is known of an upload."""
        self._states.pop(uid, None)
