"""Model folders in a store on disk, without a service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from services.core.objects.directory import DirectoryStore
from services.registry_service.domain import StoredFile
from services.registry_service.folder import Folder

MakeFolder = Callable[[Mapping[str, bytes]], Awaitable[Folder]]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """`await make_folder({path: bytes})`."""
    store = DirectoryStore(tmp_path / "objects")

    async def make(files: Mapping[str, bytes]) -> Folder:
        stored = []
        for number, (path, data) in enumerate(files.items()):
            written = await store.put(f"registry/blobs/{number}", data)
            stored.append(
                StoredFile(
                    path=path, size_bytes=written.size_bytes, sha256=written.sha256, key=f"registry/blobs/{number}"
                )
            )
        return Folder(store, stored)

    return make
