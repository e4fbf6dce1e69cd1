"""Rows gathered into packets."""

from __future__ import annotations

from typing import Any

from services.data_service.report import Example
from services.data_service.validation.blocks import Aside, Packet
from services.data_service.validation.findings import Findings
from services.data_service.validation.reasons import Reason
from services.data_service.validation.set_aside import note

_PACKET_BYTES = 1 << 20
_PACKET_ROWS = 8192


class Packing:
    """Rows that wait until there are enough of them."""

    def __init__(self) -> None:
        self._clear()

    @property
    def full(self) -> bool:
        """Whether there are enough."""
        return self._bytes >= _PACKET_BYTES or len(self._texts) + self._bad >= _PACKET_ROWS

    def add(self, text: bytes, line: int, offset: int, column: int = 0) -> None:
        """A row as JSON, with the line, the byte offset and, where it means something, the column of its beginning."""
        self._texts.append(text)
        self._numbers.append(line)
        self._offsets.append(offset)
        self._columns.append(column)
        self._bytes += len(text)

    def note(self, reason: Reason, at: Example | None, **values: Any) -> None:
        """Something about a row that is worth a look, or about the file."""
        self._findings.add(reason, at, **values)

    def refuse(
        self,
        reason: Reason,
        at: Example,
        text: str,
        *,
        counted: bool = True,
        begins: tuple[int, int] | None = None,
        **values: Any,
    ) -> None:
        """A row with an error; or the end of what can be read, which is not `counted` as a row.

        `begins`: line and column of the row, where they are not those of the error.
        """
        self._findings.row.clear()
        self._findings.add(reason, at, fatal=not counted, **values)
        self._bad += counted
        if counted:
            self._aside.append(note(*(begins or (at.line, at.column)), text, self._findings.row))
            self._bytes += len(text)

    def take(self, end: int) -> Packet:
        """The rows so far; `end` is how far the file was read."""
        self._findings.row.clear()
        packet = Packet(
            texts=self._texts,
            numbers=self._numbers,
            offsets=self._offsets,
            columns=self._columns,
            end=end,
            findings=self._findings,
            aside=self._aside,
            bad_rows=self._bad,
        )
        self._clear()
        return packet

    def _clear(self) -> None:
        self._texts: list[bytes] = []
        self._numbers: list[int] = []
        self._offsets: list[int] = []
        self._columns: list[int] = []
        self._findings = Findings()
        self._aside: list[Aside] = []
        self._bytes = self._bad = 0
