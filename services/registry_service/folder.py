"""The files of one model in the object store, read in parts: never more than what is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from services.core.objects import ObjectStore
from services.registry_service.domain import StoredFile
from services.registry_service.errors import ModelFileInvalid

MAX_JSON_BYTES = 16 << 20
"""The longest JSON file that is read whole; tokenizer.json, which may be longer, is not."""


class Folder:
    """Reads the files of a model."""

    def __init__(self, store: ObjectStore, files: Iterable[StoredFile]) -> None:
        self._store = store
        self._files = {file.path: file for file in files}

    @property
    def paths(self) -> list[str]:
        """The paths of all files, sorted."""
        return sorted(self._files)

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def size_bytes(self, path: str) -> int:
        """The length of a file."""
        return self._files[path].size_bytes

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """A part of a file; the caller bounds it."""
        pieces = [piece async for piece in self._store.open(self._files[path].key, offset, length)]
        return b"".join(pieces)

    async def text(self, path: str, *, max_bytes: int) -> str:
        """The beginning of a text file; what is not UTF-8 becomes U+FFFD."""
        raw = await self.read(path, 0, min(max_bytes, self.size_bytes(path)))
        return raw.decode("utf-8-sig", errors="replace")

    async def json_object(self, path: str) -> dict[str, Any]:
        """A JSON object. Raises ModelFileInvalid when the file is something else, or longer than 16 MiB."""
        if self.size_bytes(path) > MAX_JSON_BYTES:
            raise ModelFileInvalid(path, "it is longer than 16 MiB", "16 MiB を超えています")
        return parse_object(path, await self.read(path))


def parse_object(path: str, raw: bytes) -> dict[str, Any]:
    """The JSON object in the bytes of a file. Raises ModelFileInvalid."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise ModelFileInvalid(path, "it is not JSON", "JSON ではありません") from None
    if not isinstance(value, dict):
        raise ModelFileInvalid(path, "it is not a JSON object", "JSON オブジェクトではありません")
    return value
