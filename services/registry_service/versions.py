"""Making versions: from the result of a training job, and from uploaded files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from services.core.errors import InvalidArgument
from services.core.idempotency import RequestKey
from services.core.objects import ObjectStore
from services.registry_service.adapter import check_adapter
from services.registry_service.base_model_store import BaseModelStore
from services.registry_service.card import CardWriter
from services.registry_service.domain import BaseModel, BaseModelState, ModelKind, NewVersion, StoredFile, Version
from services.registry_service.errors import BaseModelNotReady, FilesNotOfKind, ModelFileInvalid
from services.registry_service.file_kinds import ADAPTER_CONFIG, CONFIG, weights_of
from services.registry_service.folder import Folder
from services.registry_service.inspection import inspect
from services.registry_service.intake import Intake
from services.registry_service.training_facts import training_facts
from services.registry_service.version_store import VersionStore

TEMPLATE = "template.json"
MAX_TEMPLATE_BYTES = 64 << 10


class Versions:
    """Takes content over, looks at it, and makes it a version."""

    def __init__(self, versions: VersionStore, base_models: BaseModelStore, intake: Intake, store: ObjectStore) -> None:
        self._versions = versions
        self._base_models = base_models
        self._intake = intake
        self._store = store

    async def take_over(self, tenant: str, model_id: str, display_name: str, wanted: NewVersion) -> Version:
        """The result of a training job. A job that made a version already gets that one.

        Raises NotFound, BaseModelChanged, DigestMismatch, ContentMissing, or what is wrong with the files.
        """
        made = await self._versions.of_job(tenant, wanted.training_job)
        if made is not None:
            return made
        base = await self._base(tenant, wanted.base_model, even_deleted=True)
        version = replace(wanted, files=await self._intake.adopt(wanted.files))
        checked = await self._checked(version, base)
        return await self._versions.take_over(tenant, model_id, display_name, checked, CardWriter(base))

    async def import_(
        self, tenant: str, model_id: str, base_model: str, files: Sequence[StoredFile], key: RequestKey
    ) -> Version:
        """A version from uploads. Raises NotFound, or what is wrong with the files."""
        base = await self._base(tenant, base_model)
        version = NewVersion(
            kind=ModelKind.ADAPTER if any(file.path == ADAPTER_CONFIG for file in files) else ModelKind.FULL,
            base_model=base.name if base else "",
            base_model_digest=base.digest if base else "",
            files=await self._intake.adopt(files),
        )
        folder = Folder(self._store, version.files)
        facts = await training_facts(folder)
        version = replace(
            await self._checked(version, base),
            template_json=await _template(folder),
            metrics=facts.metrics,
            hyperparameters=facts.hyperparameters,
        )
        return await self._versions.add(tenant, model_id, version, CardWriter(base), key)

    async def _base(self, tenant: str, name: str, *, even_deleted: bool = False) -> BaseModel | None:
        """The base model that a version stands on, None when it names none. Raises NotFound or BaseModelNotReady."""
        if not name:
            return None
        base = await self._base_models.get(tenant, name.removeprefix("baseModels/"), even_deleted=even_deleted)
        if base.state != BaseModelState.READY:
            raise BaseModelNotReady(base_model=base.name, state=base.state.value)
        return base

    async def _checked(self, version: NewVersion, base: BaseModel | None) -> NewVersion:
        """The version with its licence. Raises what is wrong with its files."""
        folder = Folder(self._store, version.files)
        if version.kind == ModelKind.ADAPTER:
            if base is None:
                raise InvalidArgument.field(
                    "base_model",
                    "REQUIRED",
                    "An adapter needs its base model.",
                    "アダプターにはベースモデルの指定が必要です。",
                )
            await check_adapter(folder, base, Folder(self._store, base.files))
            return replace(version, licence=base.licence)
        _check_whole(version.kind, folder)
        found = await inspect(folder)
        return replace(version, licence=base.licence if base else found.licence)


def _check_whole(kind: ModelKind, folder: Folder) -> None:
    if CONFIG not in folder:
        raise FilesNotOfKind(kind=kind.value, file=CONFIG)
    if not weights_of(folder.paths):
        raise FilesNotOfKind(kind=kind.value, file="model.safetensors")


async def _template(folder: Folder) -> str:
    """template.json as the trainer wrote it, so that a model that comes back is served as it was trained."""
    if TEMPLATE not in folder:
        return ""
    if folder.size_bytes(TEMPLATE) > MAX_TEMPLATE_BYTES:
        raise ModelFileInvalid(TEMPLATE, "it is longer than 64 KiB", "64 KiB を超えています")
    return json.dumps(await folder.json_object(TEMPLATE), ensure_ascii=False)
