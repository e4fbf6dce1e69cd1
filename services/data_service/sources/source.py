"""What every source of imports has in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from services.data_service.workspace import Workspace

_MAX_NAME = 255


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file that comes in: its name for display, its bytes, and what exactly it is, such as with the Hub's commit."""

    filename: str
    content: AsyncIterator[bytes]
    source: str


class Source(Protocol):
    """One kind of places."""

    async def fetch(self, place: str, space: Workspace) -> Fetched:
        """The file at a place, which begins with the kind's own scheme. Files may lie in the job's folder meanwhile.

        Raises:
            DomainError: of `errors`; also while the content is read.
        """


def filename_of(path: str) -> str:
    """The last part of a path, fit to be a file's name."""
    name = PurePosixPath(path.replace("\\", "/").replace("\0", "")).name
    return name[-_MAX_NAME:] or "data"
