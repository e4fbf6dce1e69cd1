"""Deduplication: rows wait in a file until all were seen, then those that stay go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from services.data_service.data_job import PreparationStep
from services.data_service.preparation.exact_duplicates import ExactDuplicates
from services.data_service.preparation.near_duplicates import NearDuplicates
from services.data_service.preparation.rows import Row
from services.data_service.preparation.splitting import Side
from services.data_service.recipe import Deduplication

_GONE = 255


class Waiting:
    """Rows with their sides. Memory: one byte a row; the rest is on disk, and goes with `folder`."""

    def __init__(self, how: Deduplication, folder: Path) -> None:
        self._stack = ExitStack()
        self._rows = self._stack.enter_context((folder / "waiting.jsonl").open("w+b"))
        self._exact = ExactDuplicates(folder) if how.exact else None
        near = NearDuplicates(folder, how.near_threshold) if how.near_threshold else None
        self._near = self._stack.enter_context(near) if near is not None else None
        self._sides = bytearray()

    def add(self, row: Row, texts: Sequence[str], side: Side) -> None:
        """The next row, by which texts it is compared, and its side. Raises TooManyRows."""
        if self._exact is not None:
            self._exact.add(row.content_digest(), len(self._sides))
        if self._near is not None:
            self._near.add("\n".join(texts))
        self._rows.write(row.json + b"\n")
        self._sides.append(side)

    def drop(self) -> Iterator[PreparationStep]:
        """Drops repetitions; what was done, step by step."""
        rows = len(self._sides)
        for name, duplicates in (("exact", self._exact), ("near", self._near)):
            if duplicates is not None:
                left = rows - duplicates.mark(self._sides, _GONE)
                yield PreparationStep(name=f"deduplication.{name}", rows_in=rows, rows_out=left, changed_rows=0)
                rows = left

    def stays(self) -> list[bool]:
        """Of every row in turn whether it stays."""
        return [side != _GONE for side in self._sides]

    def staying(self) -> Iterator[tuple[Side, bytes]]:
        """The lines of the rows that stay, in their order."""
        self._rows.seek(0)
        for side, line in zip(self._sides, self._rows, strict=True):
            if side != _GONE:
                yield Side(side), line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
