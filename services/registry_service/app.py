"""The one place that puts the registry together."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import cast

from aift.data.v1 import data_pb2_grpc
from aift.registry.v1 import registry_pb2_grpc

from services.core.blobs import Blobs
from services.core.channels import channel
from services.core.db import Database
from services.core.migrate import SchemaCheck
from services.core.objects import ObjectStore, open_store
from services.core.readiness import Check
from services.core.server import GrpcServer
from services.registry_service import schema
from services.registry_service.hub_import import HubAccess, HubImport
from services.registry_service.importing import Importing
from services.registry_service.intake import Intake
from services.registry_service.model_files import ModelFiles
from services.registry_service.servicer import Parts, RegistryServicer
from services.registry_service.settings import RegistrySettings
from services.registry_service.store import Store
from services.registry_service.sweeper import Sweeper
from services.registry_service.uploads import Uploads
from services.registry_service.versions import Versions

PACKAGE = "services.registry_service"


async def serve(settings: RegistrySettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then lets running calls finish and hands imports over."""
    database = Database(settings.database_url.get_secret_value(), schema.SCHEMA)
    objects = open_store(settings)
    data_channel = channel(settings.data_address, settings.service_token_file)
    data = cast("data_pb2_grpc.DataServiceAsyncStub", data_pb2_grpc.DataServiceStub(data_channel))
    parts, sweeper = wire(settings, database, objects, Uploads(data))
    registration = (registry_pb2_grpc.add_RegistryServiceServicer_to_server, RegistryServicer(parts, stop))
    ready: dict[str, Check] = {
        "database": database.check,
        "schema": SchemaCheck(PACKAGE, database),
        "objects": objects.check,
    }
    try:
        async with GrpcServer(settings, [registration], ready) as server:
            await _until(stop, asyncio.create_task(_background(server, parts.importing, sweeper)))
    finally:
        await data_channel.close()
        await database.close()


def wire(
    settings: RegistrySettings, database: Database, objects: ObjectStore, uploads: Uploads
) -> tuple[Parts, Sweeper]:
    """The parts of the registry over a database and an object store."""
    store = Store.over(database)
    intake = Intake(database, objects, Blobs(database, schema.blobs, objects, settings.SERVICE))
    access = HubAccess(
        token=settings.hub_token.get_secret_value(),
        endpoint=settings.hub_endpoint,
        scratch=settings.imports_path,
        objects=settings.objects_path if settings.object_store == "file" else None,
        reserve_bytes=settings.import_reserve_bytes,
    )
    importing = Importing(
        store.imports,
        intake,
        HubImport(access, intake, objects),
        objects,
        concurrency=settings.import_concurrency,
    )
    parts = Parts(
        store=store,
        files=ModelFiles(store.base_models, store.versions, objects),
        versions=Versions(store.versions, store.base_models, intake, objects),
        uploads=uploads,
        importing=importing,
    )
    sweeper = Sweeper(store.garbage, objects, prefix=settings.SERVICE, scratch=settings.imports_path)
    return parts, sweeper


async def _background(server: GrpcServer, importing: Importing, sweeper: Sweeper) -> None:
    await server.wait_ready()
    async with asyncio.TaskGroup() as group:
        group.create_task(importing.run())
        group.create_task(sweeper.run())


async def _until(stop: asyncio.Event, background: asyncio.Task[None]) -> None:
    """Waits for `stop`, then ends the background work. What breaks that ends the process, to be started anew."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, background], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    background.cancel()
    with suppress(asyncio.CancelledError):
        await background
