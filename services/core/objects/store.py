"""What an object store does, whatever it is made of."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

CHUNK_BYTES = 1 << 20
"""Size of the pieces in which objects are read."""
PART_BYTES = 8 << 20
"""Size of the parts in which large objects are uploaded and composed."""
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_MAX_KEY = 512

Content = bytes | AsyncIterator[bytes]


@dataclass(frozen=True)
class Written:
    """What was stored."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class StoredObject:
    """One object of a listing."""

    key: str
    size_bytes: int
    modified: datetime


def check_key(key: str) -> str:
    """Returns a key that no store can misread. Raises ValueError: keys are ours, never a client's."""
    if len(key) > _MAX_KEY or _KEY.fullmatch(key) is None:
        raise ValueError(f"not an object key: {key!r}")
    return key


class ObjectStore(Protocol):
    """Bytes under keys. An object is visible only when whole, and the last writer of a key wins.

    Every method raises Unavailable when the store cannot be reached, and ContentMissing for a key that must exist.
    """

    async def put(self, key: str, content: Content) -> Written:
        """Stores bytes or a stream of them."""
        ...

    async def put_part(self, key: str, pieces: Sequence[bytes]) -> None:
        """Stores the joined pieces as a part of something larger, to be composed and verified as a whole.

        It survives the death of this process, but need not survive a power cut; it is not hashed.
        """
        ...

    def open(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Reads `length` bytes (None: to the end) from `offset`, in pieces of at most 1 MiB."""
        ...

    async def stat(self, key: str) -> int | None:
        """The object's size in bytes, None when it does not exist."""
        ...

    async def copy(self, source: str, target: str) -> None:
        """Copies without the bytes passing through us."""
        ...

    async def compose(self, parts: Sequence[str], target: str) -> None:
        """Joins objects in order. All but the last must have at least 5 MiB; the parts stay."""
        ...

    async def delete(self, key: str) -> None:
        """Removes an object; no error when there is none."""
        ...

    def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """The objects whose key starts with `prefix`, in order of their keys."""
        ...

    async def read_url(self, key: str, ttl_s: float) -> str:
        """Where anyone who is told can GET the object for a time (file: URLs have no end)."""
        ...

    async def write_url(self, key: str, ttl_s: float) -> str:
        """Where anyone who is told can PUT the object for a time.

        For a file: URL the writer writes beside the path, with a dot before the name, and renames, so that half a
        file is never seen; `delete` takes what a writer left there.
        """
        ...

    async def check(self) -> None:
        """Raises Unavailable unless the store takes and gives bytes now; makes the bucket or folder if missing."""
        ...
