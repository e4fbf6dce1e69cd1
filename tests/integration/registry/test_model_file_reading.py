"""Reading what models consist of: streams with an offset, addresses for services, names in all their forms."""

from __future__ import annotations

import hashlib
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

from aift.registry.v1 import registry_pb2 as pb

from tests.integration.registry import tiny_model
from tests.integration.registry.conftest import Registry, refused


async def read(registry: Registry, name: str, path: str, offset: int = 0) -> bytes:
    request = pb.ReadModelFileRequest(name=name, path=path, offset_bytes=offset)
    return b"".join([message.data async for message in registry.as_("viewer").ReadModelFile(request)])


async def test_files_are_read_from_any_offset(either_registry: Registry) -> None:
    files = {**tiny_model.llama(), "vocab.txt": bytes(range(256)) * 12_000}
    base = await either_registry.import_base("tiny", files)
    for path, data in files.items():
        assert await read(either_registry, base.name, path) == data
    large = files["vocab.txt"]
    for offset in (1, 1 << 20, len(large) - 1, len(large)):
        assert await read(either_registry, base.name, "vocab.txt", offset) == large[offset:]
    request = pb.ReadModelFileRequest(name=base.name, path="vocab.txt")
    sizes = [len(message.data) async for message in either_registry.editor.ReadModelFile(request)]
    assert max(sizes) <= 1 << 20
    async with refused("OUT_OF_RANGE"):
        await read(either_registry, base.name, "vocab.txt", len(large) + 1)


async def test_files_that_are_not_there(registry: Registry) -> None:
    base = await registry.ready()
    for path in ("none.json", "../config.json", "", "config.json\0"):
        async with refused("NOT_FOUND"):
            await read(registry, base.name, path)
    async with refused("INVALID_ARGUMENT"):
        await read(registry, base.name, "config.json", -1)
    async with refused("NOT_FOUND"):
        await read(registry, "models/none/versions/1", "config.json")
    async with refused("NOT_FOUND"):  # another tenant's model is as good as none
        request = pb.ReadModelFileRequest(name=base.name, path="config.json")
        async for _ in registry.as_("viewer", "another-tenant").ReadModelFile(request):
            pass


async def test_services_are_told_where_files_are(either_registry: Registry) -> None:
    base = await either_registry.ready()
    version = await either_registry.trained(base)
    alias = pb.SetModelAliasRequest(name="models/faq@production", model_version=version.name)
    await either_registry.editor.SetModelAlias(alias)
    for name in (version.name, "models/faq@production", "models/faq"):
        told = await either_registry.service.GetModelFiles(pb.GetModelFilesRequest(name=name))
        assert told.name == version.name
        assert told.digest == version.digest
    told = await either_registry.service.GetModelFiles(pb.GetModelFilesRequest(name=base.name))
    assert told.digest == base.digest
    assert len(told.files) == len(base.files)
    for file in told.files:
        data = fetch(file.url)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size_bytes, file.sha256)
    async with refused("PERMISSION_DENIED"):
        await either_registry.editor.GetModelFiles(pb.GetModelFilesRequest(name=base.name))


async def test_files_of_a_failed_import_cannot_be_had(registry: Registry) -> None:
    failed = await registry.import_base("bad", {**tiny_model.llama(), "config.json": b"{}"})
    async with refused("BASE_MODEL_NOT_READY"):
        await registry.service.GetModelFiles(pb.GetModelFilesRequest(name=failed.name))
    async with refused("BASE_MODEL_NOT_READY"):
        await registry.trained(failed)


def fetch(url: str) -> bytes:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).read_bytes()
    with urllib.request.urlopen(url) as response:
        return bytes(response.read())
