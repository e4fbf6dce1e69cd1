"""Where prepared rows are written, by the side of the split that they are on."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from services.data_service.preparation.request import ROW_FILES
from services.data_service.preparation.splitting import Side


class Outputs:
    """One JSONL file a side, made with its first row."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Side, IO[bytes]] = {}
        self._stack = ExitStack()
        self.rows = dict.fromkeys(Side, 0)

    def write(self, side: Side, line: bytes) -> None:
        """Appends a row, which ends with a line break."""
        if side not in self._files:
            file = (self._folder / ROW_FILES[side]).open("wb")
            self._files[side] = self._stack.enter_context(file)
        self._files[side].write(line)
        self.rows[side] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
