"""A file on its way in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

PART_BYTES = 8 << 20
"""Uploads are stored in parts of this length; the committed offset moves by part."""

MAX_CHUNK_BYTES = 1 << 20
"""The longest `data` of one message of a stream, in either direction."""


class UploadState(StrEnum):
    """States of an upload: OPEN, then one of the others for good."""

    OPEN = "OPEN"
    FINALIZED = "FINALIZED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file on its way in."""

    tenant: str
    id: str
    uid: str
    filename: str
    # Declared length in bytes; 0 when it was not declared.
    size_bytes: int
    committed_bytes: int
    state: UploadState
    # Digest of the whole; empty until finalised.
    sha256: str
    # Number of the writer that may commit parts; each new writer counts it up, which ends the one before.
    writer: int
    create_time: datetime
    expire_time: datetime

    @property
    def name(self) -> str:
        """The resource name."""
        return f"uploads/{self.id}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of an unfinished upload: where it begins in the file, its length, its key in the object store."""

    offset_bytes: int
    size_bytes: int
    key: str
