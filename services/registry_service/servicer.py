"""The contract of the registry: each method reads its request, asks one part of the domain, and answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
from aift.registry.v1 import registry_pb2 as pb
from aift.registry.v1 import registry_pb2_grpc
from google.protobuf.empty_pb2 import Empty

from services.core import idempotency, names, pages, wire
from services.core.context import current
from services.core.errors import Draining, InvalidArgument
from services.core.pages import Cursor
from services.registry_service import messages, requests
from services.registry_service.importing import Importing
from services.registry_service.model_files import ModelFiles
from services.registry_service.schema import numbered
from services.registry_service.store import Store
from services.registry_service.uploads import Uploads
from services.registry_service.versions import Versions

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the servicer asks."""

    store: Store
    files: ModelFiles
    versions: Versions
    uploads: Uploads
    importing: Importing


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """`stop` is set when the process is to end; running streams then tell their clients to go on elsewhere."""

    def __init__(self, parts: Parts, stop: asyncio.Event) -> None:
        self._store = parts.store
        self._files = parts.files
        self._versions = parts.versions
        self._uploads = parts.uploads
        self._importing = parts.importing
        self._stop = stop

    # --- Base models ------------------------------------------------------------------------------------------

    async def ImportBaseModel(self, request: pb.ImportBaseModelRequest, context: Context) -> pb.BaseModel:
        wire.check(request)
        key = idempotency.key_of(request)
        display_name = names.check_text(request.display_name, field="display_name")
        source = requests.hub_source(request) if request.HasField("hub") else None
        id_ = requests.base_model_id(request, source)
        taken = source or await self._uploaded(request)
        made = await self._store.base_models.create(current().tenant, id_, display_name, taken, key)
        self._importing.wake()
        return messages.base_model(made)

    async def GetBaseModel(self, request: pb.GetBaseModelRequest, context: Context) -> pb.BaseModel:
        return messages.base_model(await self._files.base_model(current().tenant, request.name))

    async def ListBaseModels(self, request: pb.ListBaseModelsRequest, context: Context) -> pb.ListBaseModelsResponse:
        page = pages.page(request)
        found = await self._store.base_models.list(current().tenant, page)
        shown, token = messages.page_of(page, found, messages.base_model, lambda m: Cursor(m.create_time, m.id))
        return pb.ListBaseModelsResponse(base_models=shown, next_page_token=token)

    async def DeleteBaseModel(self, request: pb.DeleteBaseModelRequest, context: Context) -> Empty:
        await self._store.base_models.delete(current().tenant, names.parse("baseModels/{b}", request.name)["b"])
        return Empty()

    # --- Models -----------------------------------------------------------------------------------------------

    async def CreateModel(self, request: pb.CreateModelRequest, context: Context) -> pb.Model:
        key = idempotency.key_of(request)
        said = requests.texts(request.model, field="model")
        id_ = request.model_id or names.slug(said["display_name"], fallback=names.new_id("model-"))
        names.check_id(id_, field="model_id")
        made = await self._store.models.create(current().tenant, id_, said["display_name"], said["description"], key)
        return messages.model(made)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.Model:
        id_ = requests.model_id(request.name, field="name")
        return messages.model(await self._store.models.get(current().tenant, id_))

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        page = pages.page(request)
        found = await self._store.models.list(current().tenant, page)
        shown, token = messages.page_of(page, found, messages.model, lambda m: Cursor(m.create_time, m.id))
        return pb.ListModelsResponse(models=shown, next_page_token=token)

    async def UpdateModel(self, request: pb.UpdateModelRequest, context: Context) -> pb.Model:
        id_ = requests.model_id(request.model.name, field="model.name")
        changed, key = requests.changed_texts(request), idempotency.key_of(request)
        updated = await self._store.models.update(current().tenant, id_, changed, request.model.etag, key)
        return messages.model(updated)

    async def DeleteModel(self, request: pb.DeleteModelRequest, context: Context) -> Empty:
        call = current()
        await self._store.models.delete(call.tenant, requests.model_id(request.name, field="name"), call.principal)
        return Empty()

    # --- Versions ---------------------------------------------------------------------------------------------

    async def CreateModelVersion(self, request: pb.CreateModelVersionRequest, context: Context) -> pb.ModelVersion:
        model_id = requests.model_id(request.model, field="model")
        display_name = names.check_text(request.display_name, field="display_name")
        wanted = requests.new_version(request)
        made = await self._versions.take_over(current().tenant, model_id, display_name, wanted)
        return messages.version(made)

    async def ImportModel(self, request: pb.ImportModelRequest, context: Context) -> pb.ModelVersion:
        wire.check(request)
        key = idempotency.key_of(request)
        model_id = requests.model_id(request.model, field="model")
        made = await self._store.versions.of_request(key)
        if made is None:
            files = await self._uploads.resolve(request.files, field="files")
            base = request.base_model and (await self._files.base_model(key.tenant, request.base_model)).name
            made = await self._versions.import_(key.tenant, model_id, base, files, key)
        return messages.version(made)

    async def GetModelVersion(self, request: pb.GetModelVersionRequest, context: Context) -> pb.ModelVersion:
        return messages.version(await self._files.version(current().tenant, request.name))

    async def ListModelVersions(
        self, request: pb.ListModelVersionsRequest, context: Context
    ) -> pb.ListModelVersionsResponse:
        page = pages.page(request, parent=request.parent)
        found = await self._store.versions.list(
            current().tenant, requests.model_id(request.parent, field="parent"), page
        )
        shown, token = messages.page_of(
            page, found, messages.version, lambda v: Cursor(v.create_time, numbered(v.number))
        )
        return pb.ListModelVersionsResponse(model_versions=shown, next_page_token=token)

    async def DeleteModelVersion(self, request: pb.DeleteModelVersionRequest, context: Context) -> Empty:
        model_id, number = requests.version_ids(request.name)
        await self._store.versions.delete(current().tenant, model_id, number)
        return Empty()

    # --- Aliases and lineage ----------------------------------------------------------------------------------

    async def SetModelAlias(self, request: pb.SetModelAliasRequest, context: Context) -> pb.ModelAlias:
        call, key = current(), idempotency.key_of(request)
        model_id, alias = requests.alias_ids(request.name)
        owner, number = requests.version_ids(request.model_version, field="model_version")
        if owner != model_id:
            raise InvalidArgument.field(
                "model_version",
                "OTHER_MODEL",
                f"Must be a version of models/{model_id}.",
                f"models/{model_id} のバージョンを指定してください。",
            )
        placed = await self._store.aliases.set(call.tenant, model_id, alias, number, call.principal, key)
        return messages.alias(placed)

    async def DeleteModelAlias(self, request: pb.DeleteModelAliasRequest, context: Context) -> Empty:
        call = current()
        model_id, alias = requests.alias_ids(request.name)
        await self._store.aliases.delete(call.tenant, model_id, alias, call.principal)
        return Empty()

    async def ListModelAliasHistory(
        self, request: pb.ListModelAliasHistoryRequest, context: Context
    ) -> pb.ListModelAliasHistoryResponse:
        page = pages.page(request, name=request.name)
        found = await self._store.aliases.history(current().tenant, *requests.alias_ids(request.name), page)
        shown, token = messages.page_of(
            page, found, messages.alias_change, lambda c: Cursor(c.create_time, numbered(c.id))
        )
        return pb.ListModelAliasHistoryResponse(changes=shown, next_page_token=token)

    async def GetLineage(self, request: pb.GetLineageRequest, context: Context) -> pb.Lineage:
        tenant, name = current().tenant, request.name
        if name.startswith("models/"):
            name = (await self._files.version(tenant, name)).name
        elif name.startswith("baseModels/"):
            name = (await self._files.base_model(tenant, name)).name
        # Jobs and data sets are others': the registry knows of them only what was made from them.
        edges = await self._store.lineage.around(tenant, requests.lineage_name(name))
        return pb.Lineage(name=name, edges=messages.edges(edges))

    # --- Files ------------------------------------------------------------------------------------------------

    async def ReadModelFile(
        self, request: pb.ReadModelFileRequest, context: Context
    ) -> AsyncIterator[pb.ReadModelFileResponse]:
        tenant = current().tenant
        async for piece in self._files.read(tenant, request.name, request.path, request.offset_bytes):
            if self._stop.is_set():
                raise Draining
            yield pb.ReadModelFileResponse(data=piece)

    async def GetModelFiles(self, request: pb.GetModelFilesRequest, context: Context) -> pb.GetModelFilesResponse:
        owner = await self._files.of(current().tenant, request.name)
        addresses = await self._files.addresses(owner)
        return pb.GetModelFilesResponse(name=owner.name, digest=owner.digest, files=messages.file_urls(addresses))

    async def _uploaded(self, request: pb.ImportBaseModelRequest) -> Any:
        requests.check_base_files(request.uploads.files)
        return await self._uploads.resolve(request.uploads.files, field="uploads.files")
