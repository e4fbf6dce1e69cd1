"""The one place that puts the inference service together."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import cast

from aift.inference.v1 import inference_pb2_grpc
from aift.registry.v1 import registry_pb2_grpc

from services.core import context
from services.core.cache_room import CacheRoom
from services.core.channels import channel
from services.core.db import Database
from services.core.file_cache import FileCache
from services.core.migrate import SchemaCheck
from services.core.readiness import Check
from services.core.server import GrpcServer
from services.inference_service.generator import Generator
from services.inference_service.gpus import Gpus
from services.inference_service.keeper import Keeper
from services.inference_service.pool import EngineOptions, IdleSeconds, ModelPool
from services.inference_service.servicer import InferenceServicer
from services.inference_service.settings import InferenceSettings
from services.inference_service.sources import Sources
from services.inference_service.store import WantedModels

PACKAGE = "services.inference_service"


async def serve(settings: InferenceSettings, stop: asyncio.Event) -> None:
    """Serves until ``stop`` is set, then lets running generations finish."""
    database = Database(settings.database_url.get_secret_value(), settings.SERVICE)
    registry_channel = channel(settings.registry_address, settings.service_token_file)
    registry = cast(
        "registry_pb2_grpc.RegistryServiceAsyncStub", registry_pb2_grpc.RegistryServiceStub(registry_channel)
    )
    sources = Sources(registry, lambda: context.current().tenant)
    options = EngineOptions(
        module=settings.engine_module, max_rows=settings.engine_max_rows, threads=settings.engine_threads
    )
    room = CacheRoom([settings.cache_path], settings.cache_bounds)
    pool = ModelPool(sources, FileCache(settings.cache_path), room, Gpus(settings.locks_path), options)
    wanted = WantedModels(database)
    servicer = InferenceServicer(Generator(sources, pool, settings.max_requests), sources, pool, wanted)
    registration = (inference_pb2_grpc.add_InferenceServiceServicer_to_server, servicer)
    ready: dict[str, Check] = {"database": database.check, "schema": SchemaCheck(PACKAGE, database)}
    async with GrpcServer(settings, [registration], ready) as server:
        idle = IdleSeconds(in_memory=settings.engine_idle_seconds, on_gpu=settings.engine_gpu_idle_seconds)
        keeper = asyncio.create_task(_keep(server, Keeper(wanted, sources, pool, idle)))
        await stop.wait()
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
    await pool.close()
    await registry_channel.close()
    await database.close()


async def _keep(server: GrpcServer, keeper: Keeper) -> None:
    await server.wait_ready()
    await keeper.run()
