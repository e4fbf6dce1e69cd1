"""Persistence: what each kind of resource keeps in the database."""

from __future__ import annotations

from dataclasses import dataclass

from services.core.db import Database
from services.registry_service.alias_store import AliasStore
from services.registry_service.base_model_store import BaseModelStore
from services.registry_service.garbage_store import GarbageStore
from services.registry_service.import_queue import ImportQueue
from services.registry_service.lineage_store import LineageStore
from services.registry_service.model_store import ModelStore
from services.registry_service.version_store import VersionStore


@dataclass(frozen=True, kw_only=True)
class Store:
    """All of them over one database."""

    base_models: BaseModelStore
    imports: ImportQueue
    models: ModelStore
    versions: VersionStore
    aliases: AliasStore
    lineage: LineageStore
    garbage: GarbageStore

    @classmethod
    def over(cls, database: Database) -> Store:
        """The stores of a database."""
        return cls(
            base_models=BaseModelStore(database),
            imports=ImportQueue(database),
            models=ModelStore(database),
            versions=VersionStore(database),
            aliases=AliasStore(database),
            lineage=LineageStore(database),
            garbage=GarbageStore(database),
        )
