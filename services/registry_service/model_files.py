"""Names to versions, and their bytes: what a name means, reading a file, and where files can be fetched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.core import names
from services.core.errors import InvalidArgument, NotFound, OutOfRange
from services.core.objects import ObjectStore
from services.registry_service.base_model_store import BaseModelStore
from services.registry_service.domain import BaseModel, BaseModelState, StoredFile, Version
from services.registry_service.errors import BaseModelNotReady
from services.registry_service.hub_names import is_hub_id
from services.registry_service.version_store import VersionStore

URL_TTL_S = 6 * 3600.0
"""How long the addresses of files are good for."""
VERSION = "models/{m}/versions/{n}"
ALIAS = "models/{m}@{alias}"
MODEL = "models/{m}"
BASE_PREFIX = "baseModels/"


@dataclass(frozen=True, kw_only=True)
class FileAddress:
    """A file and where its bytes can be read for a while."""

    file: StoredFile
    url: str


class ModelFiles:
    """Base models and versions by any of their names."""

    def __init__(self, base_models: BaseModelStore, versions: VersionStore, store: ObjectStore) -> None:
        self._base_models = base_models
        self._versions = versions
        self._store = store

    async def base_model(self, tenant: str, name: str) -> BaseModel:
        """By id, Hub id or short name. Raises InvalidArgument or NotFound."""
        reference = name.removeprefix(BASE_PREFIX)
        if not name.startswith(BASE_PREFIX) or not is_hub_id(reference):
            names.parse("baseModels/{b}", name)
        return await self._base_models.get(tenant, reference)

    async def version(self, tenant: str, name: str) -> Version:
        """By number, by alias, or the newest of a model. Raises InvalidArgument or NotFound."""
        if names.matches(VERSION, name):
            ids = names.parse(VERSION, name)
            return await self._versions.get(tenant, ids["m"], int(ids["n"]))
        if "@" in name:
            ids = names.parse(ALIAS, name)
            return await self._versions.aliased(tenant, ids["m"], ids["alias"])
        return await self._versions.newest(tenant, names.parse(MODEL, name)["m"])

    async def of(self, tenant: str, name: str) -> BaseModel | Version:
        """Whatever has files under this name. Raises InvalidArgument, NotFound or BaseModelNotReady."""
        if not name.startswith(BASE_PREFIX):
            return await self.version(tenant, name)
        base = await self.base_model(tenant, name)
        if base.state != BaseModelState.READY:
            raise BaseModelNotReady(base_model=base.name, state=base.state.value)
        return base

    async def addresses(self, owner: BaseModel | Version) -> list[FileAddress]:
        """Where each file can be read from now on for some hours."""
        return [FileAddress(file=f, url=await self._store.read_url(f.key, URL_TTL_S)) for f in owner.files]

    async def read(self, tenant: str, name: str, path: str, offset: int) -> AsyncIterator[bytes]:
        """The bytes of a file from an offset on, in pieces of at most 1 MiB.

        Raises InvalidArgument, NotFound, BaseModelNotReady, or OutOfRange.
        """
        owner = await self.of(tenant, name)
        file = next((file for file in owner.files if file.path == path), None)
        if file is None:
            raise NotFound(f"{owner.name}: {path[:200]!r}")
        if offset < 0:
            raise InvalidArgument.field("offset_bytes", "NEGATIVE", "Must not be negative.", "0 以上にしてください。")
        if offset > file.size_bytes:
            raise OutOfRange("offset_bytes", value=offset, expected=file.size_bytes)
        async for piece in self._store.open(file.key, offset):
            yield piece
