"""How far an import is: written by the work, read by whoever renews its lease."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class ImportProgress:
    """Bytes taken in and to take in, and the Hub's commit once it is known."""

    done_bytes: int = 0
    total_bytes: int = 0
    hub_revision: str = ""

    def add(self, size_bytes: int) -> None:
        """More has come in."""
        self.done_bytes += size_bytes
