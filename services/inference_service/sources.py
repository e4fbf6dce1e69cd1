"""Names to weights: asks the registry what a name means and where its files are."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc
from aift.registry.v1 import registry_pb2, registry_pb2_grpc

from services.core.errors import NotFound, Unavailable
from services.core.file_cache import RemoteFile
from services.inference_service.domain import Source
from services.inference_service.errors import ModelNotReady

# Long enough to spare the registry a call per request, short enough that a moved alias is followed at once.
_TTL_S = 1.0
_ENTRIES = 1024
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The files of a model and the digest of the whole."""

    digest: str
    files: tuple[RemoteFile, ...]

    @property
    def size_bytes(self) -> int:
        """Length of all files."""
        return sum(file.size_bytes for file in self.files)


class Sources:
    """The registry as this service needs it."""

    def __init__(self, registry: registry_pb2_grpc.RegistryServiceAsyncStub, tenant: Callable[[], str]) -> None:
        self._registry = registry
        self._tenant = tenant
        self._known: dict[tuple[str, str], tuple[float, Source]] = {}

    async def resolve(self, name: str) -> Source:
        """What answers under a name of the caller's tenant.

        Raises:
            NotFound: there is no such model.
            ModelNotReady: a base model that is still being imported.
            Unavailable: the registry cannot be asked.
        """
        key = (self._tenant(), name)
        known = self._known.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        source = await (self._base(name) if name.startswith("baseModels/") else self._version(name))
        if len(self._known) >= _ENTRIES:
            self._known.clear()
        self._known[key] = (time.monotonic() + _TTL_S, source)
        return source

    async def folder(self, name: str) -> Folder:
        """The files of a base model or version."""
        answer = await _answer(name, self._registry.GetModelFiles(registry_pb2.GetModelFilesRequest(name=name)))
        files = tuple(
            RemoteFile(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256, url=file.url)
            for file in answer.files
        )
        return Folder(digest=answer.digest, files=files)

    async def _base(self, name: str) -> Source:
        base = await _answer(name, self._registry.GetBaseModel(registry_pb2.GetBaseModelRequest(name=name)))
        if base.state != registry_pb2.BASE_MODEL_STATE_READY:
            raise ModelNotReady(model=base.name)
        return Source(
            name=base.name, weights_name=base.name, weights_digest=base.digest, adapter=False, template_json=""
        )

    async def _version(self, name: str) -> Source:
        version = await _answer(name, self._registry.GetModelVersion(registry_pb2.GetModelVersionRequest(name=name)))
        adapter = version.kind == registry_pb2.MODEL_KIND_ADAPTER
        return Source(
            name=version.name,
            weights_name=version.base_model if adapter else version.name,
            weights_digest=version.base_model_digest if adapter else version.digest,
            adapter=adapter,
            template_json=version.template_json,
        )


async def _answer(name: str, call: Awaitable[Answer]) -> Answer:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            raise NotFound(name) from error
        if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
            raise ModelNotReady(model=name) from error
        raise Unavailable("registry") from error
