"""Digests with the rows they belong to, spread over files by their first byte, so that one file at a time is sorted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

DIGEST_BYTES = 32
_ENTRY = np.dtype([("digest", f"S{DIGEST_BYTES}"), ("row", "<i8")])
_ROWS_EACH = 250_000
_MOST = 128
Rows: TypeAlias = npt.NDArray[np.int64]


def count_for(rows: int) -> int:
    """How many buckets hold so many rows; both sides need the same number."""
    return min(_MOST, rows // _ROWS_EACH + 1)


class Buckets:
    """The digests of one side. Rows are added in ascending order; leaving the context closes the files."""

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir()
        self._paths = [folder / str(number) for number in range(count)]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._files = [self._stack.enter_context(path.open("wb")) for path in self._paths]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, digests: bytes, rows: Rows) -> None:
        """Adds rows with their digests, 32 bytes each."""
        entries = np.empty(len(rows), dtype=_ENTRY)
        entries["digest"] = np.frombuffer(digests, dtype=f"S{DIGEST_BYTES}")
        entries["row"] = rows
        if len(self._files) == 1:
            self._files[0].write(entries.tobytes())
            return
        first = np.frombuffer(digests, dtype=np.uint8)[::DIGEST_BYTES].astype(np.int64) * len(self._files) >> 8
        for number in np.unique(first):
            self._files[number].write(entries[first == number].tobytes())

    def each(self) -> Iterator[tuple[npt.NDArray[np.bytes_], Rows]]:
        """Bucket after bucket: sorted digests, and the rows of the same digest in ascending order."""
        for path in self._paths:
            entries = np.fromfile(path, dtype=_ENTRY)
            order = np.argsort(entries["digest"], kind="stable")
            yield entries["digest"][order], entries["row"][order]


def pair(left: tuple[npt.NDArray[np.bytes_], Rows], right: tuple[npt.NDArray[np.bytes_], Rows]) -> tuple[Rows, Rows]:
    """Rows of both sides that have the same digest: the n-th of it here with the n-th of it there."""
    left_at = _numbered(left[0])
    right_at = _numbered(right[0])
    _, here, there = np.intersect1d(left_at, right_at, assume_unique=True, return_indices=True)
    return left[1][here], right[1][there]


def _numbered(digests: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bytes_]:
    """Each sorted digest with a number that counts its repetitions, so that none appears twice."""
    found = np.empty(len(digests), dtype=[("digest", f"S{DIGEST_BYTES}"), ("number", ">u4")])
    places = np.arange(len(digests))
    new = np.ones(len(digests), dtype=bool)
    new[1:] = digests[1:] != digests[:-1]
    found["digest"] = digests
    found["number"] = places - np.maximum.accumulate(np.where(new, places, 0))
    return found.view(f"S{DIGEST_BYTES + 4}")
