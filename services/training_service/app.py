"""The one place where the training service is put together."""

import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import cast

from aift.data.v1 import data_pb2_grpc
from aift.registry.v1 import registry_pb2_grpc
from aift.training.v1 import training_pb2_grpc, worker_pb2_grpc

from services.core.channels import channel
from services.core.db import Database
from services.core.migrate import SchemaCheck
from services.core.objects import open_store
from services.core.server import GrpcServer
from services.core.settings import BAD_CONFIGURATION
from services.training_service.archive import Archive
from services.training_service.artifacts import Artifacts
from services.training_service.attempt_tokens import AttemptTokens
from services.training_service.attempts import Attempts
from services.training_service.background import repeat
from services.training_service.caretaker import Caretaker
from services.training_service.changes import OUTBOX_CHANNEL, Changes
from services.training_service.creation import Creation
from services.training_service.dataset_references import DatasetReferences
from services.training_service.inputs import InputSource
from services.training_service.lifecycle import RetryPolicy
from services.training_service.publisher import Publisher
from services.training_service.quotas import Quotas
from services.training_service.reports import Reports
from services.training_service.resolution import Resolver
from services.training_service.servicer import TrainingServicer
from services.training_service.settings import TrainingSettings
from services.training_service.store.jobs import Jobs
from services.training_service.store.tables import SCHEMA
from services.training_service.store.workers import Workers
from services.training_service.watch import Watch
from services.training_service.worker_servicer import WorkerServicer

PACKAGE = "services.training_service"
log = logging.getLogger(__name__)


class TrainingApp:
    """The service's parts. `start` listens and begins the background work; `stop` drains."""

    def __init__(self, settings: TrainingSettings) -> None:
        self._settings = settings
        url = settings.database_url.get_secret_value()
        self.database = Database(url, SCHEMA)
        self.store = open_store(settings)
        self.changes = Changes(url)
        self._registry_channel = channel(settings.registry_address, settings.service_token_file)
        self._data_channel = channel(settings.data_address, settings.service_token_file)
        # The generated stubs are the same class for both kinds of channel; only the types differ.
        registry = cast(
            "registry_pb2_grpc.RegistryServiceAsyncStub",
            registry_pb2_grpc.RegistryServiceStub(self._registry_channel),
        )
        data = cast("data_pb2_grpc.DataServiceAsyncStub", data_pb2_grpc.DataServiceStub(self._data_channel))
        self.jobs = Jobs(self.database)
        self.attempts = Attempts(
            self.database,
            self.jobs,
            lease_s=settings.lease_seconds,
            policy=RetryPolicy(budget=settings.retry_budget, first_delay_s=settings.retry_delay_seconds),
            leftovers_after_s=settings.leftover_seconds,
        )
        self.references = DatasetReferences(self.database, data)
        self.publisher = Publisher(self.database, self.jobs, registry, leftovers_after_s=settings.leftover_seconds)
        purge_after = timedelta(days=settings.purge_days)
        self.caretaker = Caretaker(self.database, self.attempts, self.store, purge_after=purge_after)
        self.archive = Archive(self.database, self.store, after=timedelta(days=settings.events_days))
        self.server = GrpcServer(
            settings,
            [
                (training_pb2_grpc.add_TrainingServiceServicer_to_server, self._training(Resolver(registry, data))),
                (
                    worker_pb2_grpc.add_WorkerServiceServicer_to_server,
                    self._worker(InputSource(self.database, self.store, registry, data)),
                ),
            ],
            {
                "database": self.database.check,
                "schema": SchemaCheck(PACKAGE, self.database),
                "objects": self.store.check,
            },
        )
        self._background: list[asyncio.Task[None]] = []

    def _training(self, resolver: Resolver) -> TrainingServicer:
        settings, workers = self._settings, Workers(self.database)
        quotas = Quotas(jobs=settings.quota_jobs, queued_jobs=settings.quota_queued_jobs, gpus=settings.quota_gpus)
        return TrainingServicer(
            database=self.database,
            jobs=self.jobs,
            workers=workers,
            resolver=resolver,
            creation=Creation(self.database, self.jobs, workers, resolver, quotas),
            watch=Watch(
                self.database, self.jobs, self.changes, self.archive, keepalive_s=settings.watch_keepalive_seconds
            ),
            archive=self.archive,
        )

    def _worker(self, inputs: InputSource) -> WorkerServicer:
        settings = self._settings
        return WorkerServicer(
            database=self.database,
            workers=Workers(self.database),
            attempts=self.attempts,
            reports=Reports(self.database, self.jobs, self.attempts),
            artifacts=Artifacts(
                self.database, self.jobs, self.attempts, self.store, keep_checkpoints=settings.keep_checkpoints
            ),
            inputs=inputs,
            tokens=AttemptTokens(settings.attempt_key_path, ttl_s=settings.attempt_token_seconds),
            changes=self.changes,
            lease_s=settings.lease_seconds,
            grace_s=settings.grace_seconds,
        )

    async def start(self) -> int:
        """Listens; returns the port."""
        port = await self.server.start()
        self._background = [asyncio.create_task(self._work(), name="background")]
        return port

    async def stop(self) -> None:
        """Ends watchers and waiting workers, drains, and closes everything."""
        self.changes.stop()
        await self.server.stop()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._registry_channel.close()
        await self._data_channel.close()
        await self.database.close()

    async def _work(self) -> None:
        """What goes on beside the calls, from when the schema is there."""
        await self.server.wait_ready()
        sweep_every_s = min(self._settings.lease_seconds / 5, 5.0)
        collect_every_s = min(max(self._settings.leftover_seconds, 1.0), 30.0)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.changes.run())
            group.create_task(
                repeat(
                    "publisher", self.publisher.deliver_one, every_s=5.0, changes=self.changes, channel=OUTBOX_CHANNEL
                )
            )
            group.create_task(
                repeat(
                    "references",
                    self.references.deliver_one,
                    every_s=5.0,
                    changes=self.changes,
                    channel=OUTBOX_CHANNEL,
                )
            )
            group.create_task(repeat("sweeper", self.caretaker.end_lost_attempts, every_s=sweep_every_s))
            group.create_task(repeat("garbage", self.caretaker.collect_garbage, every_s=collect_every_s))
            group.create_task(repeat("archive", self.archive.move_one, every_s=3600.0))
            group.create_task(repeat("purge", self.caretaker.purge, every_s=3600.0))


async def serve(settings: TrainingSettings, stop: asyncio.Event) -> None:
    """Serves until told to stop."""
    try:
        app = TrainingApp(settings)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"AIFT_ATTEMPT_KEY_FILE: {error}\n")
        raise SystemExit(BAD_CONFIGURATION) from error
    async with AsyncExitStack() as stack:
        stack.push_async_callback(app.stop)
        await app.start()
        await stop.wait()
