"""Wires the data service together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, cast

from aift.data.v1.data_pb2_grpc import add_DataServiceServicer_to_server
from aift.registry.v1 import registry_pb2_grpc

from services.core.blobs import Blobs
from services.core.channels import channel
from services.core.db import Database
from services.core.file_cache import FileCache
from services.core.migrate import SchemaCheck
from services.core.objects import ObjectStore, open_store
from services.core.readiness import Check
from services.core.server import GrpcServer
from services.data_service import schema
from services.data_service.calls.parts import Parts
from services.data_service.checking import Validation
from services.data_service.counting import TokenCount
from services.data_service.data_job import JobKind
from services.data_service.dataset_store import DatasetStore
from services.data_service.importing import Import
from services.data_service.job_queue import JobQueue
from services.data_service.job_runner import JobRunner, Work
from services.data_service.job_store import JobStore
from services.data_service.preparation_previews import PreparationPreviews
from services.data_service.preparing import Preparation
from services.data_service.reference_store import ReferenceStore
from services.data_service.renderer import Renderer
from services.data_service.row_pages import RowPages
from services.data_service.servicer import DataServicer
from services.data_service.settings import DataSettings
from services.data_service.sources import drop_directory, hub_source, s3_source, url_source
from services.data_service.sources.source import Source
from services.data_service.sweeper import Sweeper
from services.data_service.tokenizer_files import TokenizerFiles
from services.data_service.upload_store import UploadStore
from services.data_service.uploads import Uploads
from services.data_service.version_differences import VersionDifferences
from services.data_service.version_store import VersionStore

PACKAGE = "services.data_service"


async def serve(settings: DataSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then drains."""
    database = Database(settings.database_url.get_secret_value(), settings.SERVICE)
    objects = open_store(settings)
    registry_channel = channel(settings.registry_address, settings.service_token_file)
    stub = registry_pb2_grpc.RegistryServiceStub(registry_channel)
    parts, sweeper = wire(settings, database, objects, cast("registry_pb2_grpc.RegistryServiceAsyncStub", stub))
    parts.drop.create()
    ready: dict[str, Check] = {
        "database": database.check,
        "schema": SchemaCheck(PACKAGE, database),
        "objects": objects.check,
    }
    try:
        async with GrpcServer(settings, [(add_DataServiceServicer_to_server, DataServicer(parts))], ready) as server:
            work = (parts.runner.run, partial(sweeper.run, settings.sweep_seconds), parts.renderer.run)
            await _until(stop, asyncio.create_task(_background(server, work)))
    finally:
        await registry_channel.close()
        await database.close()


def wire(
    settings: DataSettings,
    database: Database,
    objects: ObjectStore,
    registry: registry_pb2_grpc.RegistryServiceAsyncStub,
) -> tuple[Parts, Sweeper]:
    """The parts of the service over a database, an object store and the registry."""
    own = settings.state_dir / settings.SERVICE
    blobs = Blobs(database, schema.blobs, objects, settings.SERVICE)
    uploads, datasets, versions = UploadStore(database, blobs), DatasetStore(database), VersionStore(database)
    queue = JobQueue(database, blobs, settings.data_job_lease_seconds)
    tokenizers = TokenizerFiles(registry, FileCache(own / "tokenizers"))
    drop = drop_directory.DropDirectory(settings.drop_path)
    urls = url_source.UrlSource(url_source.AllowedHosts(settings.import_hosts), settings.max_upload_bytes)
    buckets = s3_source.S3Source(settings)
    sources: dict[str, Source] = {
        drop_directory.SCHEME: drop,
        url_source.SCHEME: urls,
        s3_source.SCHEME: buckets,
        hub_source.SCHEME: hub_source.HubSource(settings),
    }
    works: dict[JobKind, Work] = {
        JobKind.VALIDATION: Validation(blobs),
        JobKind.PREPARATION: Preparation(versions),
        JobKind.IMPORT: Import(queue, blobs, sources),
        JobKind.TOKEN_COUNT: TokenCount(versions, tokenizers),
    }
    rows = RowPages(objects)
    parts = Parts(
        uploads=Uploads(uploads, objects, blobs, settings.max_upload_bytes),
        datasets=datasets,
        versions=versions,
        references=ReferenceStore(database),
        jobs=JobStore(database),
        runner=JobRunner(queue, objects, blobs, works, own / "jobs", processes=settings.data_job_processes),
        objects=objects,
        rows=rows,
        previews=PreparationPreviews(rows),
        tokenizers=tokenizers,
        renderer=Renderer(settings.supervision_idle_seconds),
        drop=drop,
        urls=urls,
        buckets=buckets,
        differences=VersionDifferences(objects, blobs, own / "jobs"),
    )
    return parts, Sweeper(database, objects, blobs, uploads_=uploads, datasets=datasets, versions=versions)


async def _background(server: GrpcServer, work: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    await server.wait_ready()
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one())


async def _until(stop: asyncio.Event, background: asyncio.Task[None]) -> None:
    """Waits for `stop`, then ends the background work. What breaks it ends the process too, to be started anew."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, background], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    background.cancel()
    try:
        await background
    except asyncio.CancelledError:
        return
