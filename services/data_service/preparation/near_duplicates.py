"""Rows that are much like earlier ones: signatures and band keys on disk, compared a band at a time.

A row goes when an earlier row of its neighbourhood is at least as similar as the threshold, even if that one went too,
so that of a chain of ever so slightly changed rows the first stays. Rows are neighbours when one of their bands is
equal (locality-sensitive hashing); whether they are similar is then decided by their whole signatures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.data_service.errors import TooManyRows
from services.data_service.preparation.signatures import PERMUTATIONS, Signature, bands, signature

Positions: TypeAlias = NDArray[np.int64]
Signatures: TypeAlias = NDArray[np.uint32]

MAX_ROWS = 50_000_000
"""Signatures then take 25 GiB of disk, and their band keys up to 17 GiB."""
_BATCH = 1024
_SORTED_AT_ONCE = 2_000_000
_COMPARED_AT_ONCE = 32_768
_MAX_LEADERS = 1024
"""Rows of one neighbourhood that later ones are compared with."""


class NearDuplicates:
    """Takes note of rows as they come, and finds the similar ones at the end."""

    def __init__(self, folder: Path, threshold: float) -> None:
        self._threshold = threshold
        self._bands, self._width = bands(threshold)
        self._signatures_path = folder / "signatures"
        self._signatures = self._signatures_path.open("w+b")
        self._keys = [(folder / f"band-{band}").open("w+b") for band in range(self._bands)]
        self._batch: list[Signature] = []
        self.rows = 0
        self._factors = np.random.default_rng(1).integers(1, 2**63, self._width, dtype=np.uint64) | np.uint64(1)

    def add(self, text: str) -> None:
        """Takes note of the next row. Raises TooManyRows."""
        if self.rows == MAX_ROWS:
            raise TooManyRows(limit=MAX_ROWS)
        self._batch.append(signature(text))
        self.rows += 1
        if len(self._batch) == _BATCH:
            self._flush()

    def mark(self, gone: bytearray, value: int) -> int:
        """Writes `value` at the position of every row that goes; how many there are.

        Args:
            gone: a byte for each row; rows that have `value` already are not looked at.
            value: what no row that stays has.
        """
        self._flush()
        marks = np.frombuffer(gone, dtype=np.uint8)
        present = marks != value
        for band in range(self._bands):
            for group in self._groups(band, present):
                for position in self._followers(group):
                    marks[position] = value
        return int(np.count_nonzero(present)) - int(np.count_nonzero(marks != value))

    def _flush(self) -> None:
        if not self._batch:
            return
        block = np.stack(self._batch)
        self._signatures.write(block.tobytes())
        for band, file in enumerate(self._keys):
            part = block[:, band * self._width : (band + 1) * self._width].astype(np.uint64)
            keys = (part * self._factors).sum(axis=1, dtype=np.uint64)
            file.write((keys ^ (keys >> np.uint64(32))).tobytes())
        self._batch.clear()

    def _groups(self, band: int, present: NDArray[np.bool_]) -> Iterator[Positions]:
        """Positions with an equal key, ascending; the keys are taken in portions that can be sorted in memory."""
        portions = ceil(self.rows / _SORTED_AT_ONCE)
        for portion in range(portions):
            keys, positions = self._portion(band, portion, portions, present)
            order = np.argsort(keys, kind="stable")
            keys, positions = keys[order], positions[order]
            edges = np.flatnonzero(np.diff(keys)) + 1
            starts, ends = np.append(0, edges), np.append(edges, len(keys))
            for which in np.flatnonzero(ends - starts > 1):
                yield positions[starts[which] : ends[which]]

    def _portion(
        self, band: int, portion: int, portions: int, present: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint64], Positions]:
        file = self._keys[band]
        file.seek(0)
        keys: list[NDArray[np.uint64]] = [np.empty(0, dtype=np.uint64)]
        positions: list[Positions] = [np.empty(0, dtype=np.int64)]
        for start in range(0, self.rows, _SORTED_AT_ONCE):
            part = np.frombuffer(file.read(8 * _SORTED_AT_ONCE), dtype=np.uint64)
            wanted = (part % np.uint64(portions) == portion) & present[start : start + len(part)]
            keys.append(part[wanted])
            positions.append(np.flatnonzero(wanted) + start)
        return np.concatenate(keys), np.concatenate(positions)

    def _followers(self, group: Positions) -> Iterator[int]:
        """Rows of a neighbourhood that are similar to an earlier one that is similar to none before it."""
        leaders: list[Signature] = []
        for start in range(0, len(group), _COMPARED_AT_ONCE):
            positions = group[start : start + _COMPARED_AT_ONCE]
            block = self._read(positions)
            for leader in leaders:
                positions, block, similar = self._parted(leader, positions, block)
                yield from similar.tolist()
            while len(positions) and len(leaders) < _MAX_LEADERS:
                leaders.append(block[0].copy())
                positions, block, similar = self._parted(leaders[-1], positions[1:], block[1:])
                yield from similar.tolist()

    def _parted(
        self, leader: Signature, positions: Positions, block: Signatures
    ) -> tuple[Positions, Signatures, Positions]:
        similar = (block == leader).mean(axis=1) >= self._threshold
        return positions[~similar], block[~similar], positions[similar]

    def _read(self, positions: Positions) -> Signatures:
        self._signatures.flush()
        number, size = self._signatures.fileno(), 4 * PERMUTATIONS
        data = b"".join(os.pread(number, size, position * size) for position in positions.tolist())
        return np.frombuffer(data, dtype=np.uint32).reshape(-1, PERMUTATIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._signatures, *self._keys):
            file.close()
